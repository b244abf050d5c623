-- name: chat, probe
-- The type of the call, learned by analysing it: nothing is asked.
SELECT ai_query('my-endpoint.v2', named_struct('messages', r.messages, 'max_tokens', 50, 'temperature', CAST(0.5 AS DOUBLE)), failOnError => false, returnType => 'STRUCT<id: STRING, model: STRING, finish_reason: STRING, messages: ARRAY<STRUCT<role: STRING, content: STRING>>, choices: ARRAY<STRUCT<message: STRUCT<role: STRING, content: STRING, refusal: STRING>, finish_reason: STRING>>, usage: STRUCT<prompt_tokens: BIGINT, completion_tokens: BIGINT, total_tokens: BIGINT>, custom_outputs: STRING>') AS reply
FROM (
  SELECT from_json(CAST(NULL AS STRING), 'STRUCT<messages: ARRAY<STRUCT<role: STRING, content: STRING>>>') AS r
);

-- name: chat, the first wave
-- Ask the next pending requests. The call stands once, and what it returns is stored as it came. The request is given as: chat.
CREATE TABLE `main`.`bake house`.`triage__replies_20261123_060000_ab12` USING DELTA AS
SELECT
  1 AS wave,
  current_timestamp() AS asked_at,
  request_hash,
  ai_query('my-endpoint.v2', named_struct('messages', r.messages, 'max_tokens', 50, 'temperature', CAST(0.5 AS DOUBLE)), failOnError => false, returnType => 'STRUCT<id: STRING, model: STRING, finish_reason: STRING, messages: ARRAY<STRUCT<role: STRING, content: STRING>>, choices: ARRAY<STRUCT<message: STRUCT<role: STRING, content: STRING, refusal: STRING>, finish_reason: STRING>>, usage: STRUCT<prompt_tokens: BIGINT, completion_tokens: BIGINT, total_tokens: BIGINT>, custom_outputs: STRING>') AS reply
FROM (
  SELECT pending.request_hash, from_json(pending.request, 'STRUCT<messages: ARRAY<STRUCT<role: STRING, content: STRING>>>') AS r
  FROM `main`.`bake house`.`triage__pending_20261123_060000_ab12` AS pending
  WHERE pending.request IS NOT NULL
  LIMIT 1000
);

-- name: chat, a later wave, nothing settled
-- Ask the next pending requests. The call stands once, and what it returns is stored as it came. The request is given as: chat.
INSERT INTO `main`.`bake house`.`triage__replies_20261123_060000_ab12`
SELECT
  2 AS wave,
  current_timestamp() AS asked_at,
  request_hash,
  ai_query('my-endpoint.v2', named_struct('messages', r.messages, 'max_tokens', 50, 'temperature', CAST(0.5 AS DOUBLE)), failOnError => false, returnType => 'STRUCT<id: STRING, model: STRING, finish_reason: STRING, messages: ARRAY<STRUCT<role: STRING, content: STRING>>, choices: ARRAY<STRUCT<message: STRUCT<role: STRING, content: STRING, refusal: STRING>, finish_reason: STRING>>, usage: STRUCT<prompt_tokens: BIGINT, completion_tokens: BIGINT, total_tokens: BIGINT>, custom_outputs: STRING>') AS reply
FROM (
  SELECT pending.request_hash, from_json(pending.request, 'STRUCT<messages: ARRAY<STRUCT<role: STRING, content: STRING>>>') AS r
  FROM `main`.`bake house`.`triage__pending_20261123_060000_ab12` AS pending
  WHERE pending.request IS NOT NULL
  LIMIT 500
);

-- name: chat, a later wave
-- Ask the next pending requests. The call stands once, and what it returns is stored as it came. The request is given as: chat.
INSERT INTO `main`.`bake house`.`triage__replies_20261123_060000_ab12`
SELECT
  13 AS wave,
  current_timestamp() AS asked_at,
  request_hash,
  ai_query('my-endpoint.v2', named_struct('messages', r.messages, 'max_tokens', 50, 'temperature', CAST(0.5 AS DOUBLE)), failOnError => false, returnType => 'STRUCT<id: STRING, model: STRING, finish_reason: STRING, messages: ARRAY<STRUCT<role: STRING, content: STRING>>, choices: ARRAY<STRUCT<message: STRUCT<role: STRING, content: STRING, refusal: STRING>, finish_reason: STRING>>, usage: STRUCT<prompt_tokens: BIGINT, completion_tokens: BIGINT, total_tokens: BIGINT>, custom_outputs: STRING>') AS reply
FROM (
  SELECT pending.request_hash, from_json(pending.request, 'STRUCT<messages: ARRAY<STRUCT<role: STRING, content: STRING>>>') AS r
  FROM `main`.`bake house`.`triage__pending_20261123_060000_ab12` AS pending
  LEFT ANTI JOIN rowcall_staged_20261123_060000_ab12_settled AS settled ON pending.request_hash = settled.request_hash
  WHERE pending.request IS NOT NULL
  LIMIT 10000
);

-- name: prompt, probe
-- The type of the call, learned by analysing it: nothing is asked.
SELECT ai_query('my-endpoint.v2', concat_ws('\n\n', r.messages[0].content, r.messages[1].content), failOnError => false, modelParameters => named_struct('max_tokens', 50, 'temperature', CAST(0.5 AS DOUBLE))) AS reply
FROM (
  SELECT from_json(CAST(NULL AS STRING), 'STRUCT<messages: ARRAY<STRUCT<role: STRING, content: STRING>>>') AS r
);

-- name: prompt, the first wave
-- Ask the next pending requests. The call stands once, and what it returns is stored as it came. The request is given as: prompt.
CREATE TABLE `main`.`bake house`.`triage__replies_20261123_060000_ab12` USING DELTA AS
SELECT
  1 AS wave,
  current_timestamp() AS asked_at,
  request_hash,
  ai_query('my-endpoint.v2', concat_ws('\n\n', r.messages[0].content, r.messages[1].content), failOnError => false, modelParameters => named_struct('max_tokens', 50, 'temperature', CAST(0.5 AS DOUBLE))) AS reply
FROM (
  SELECT pending.request_hash, from_json(pending.request, 'STRUCT<messages: ARRAY<STRUCT<role: STRING, content: STRING>>>') AS r
  FROM `main`.`bake house`.`triage__pending_20261123_060000_ab12` AS pending
  WHERE pending.request IS NOT NULL
  LIMIT 1000
);

-- name: prompt, a later wave, nothing settled
-- Ask the next pending requests. The call stands once, and what it returns is stored as it came. The request is given as: prompt.
INSERT INTO `main`.`bake house`.`triage__replies_20261123_060000_ab12`
SELECT
  2 AS wave,
  current_timestamp() AS asked_at,
  request_hash,
  ai_query('my-endpoint.v2', concat_ws('\n\n', r.messages[0].content, r.messages[1].content), failOnError => false, modelParameters => named_struct('max_tokens', 50, 'temperature', CAST(0.5 AS DOUBLE))) AS reply
FROM (
  SELECT pending.request_hash, from_json(pending.request, 'STRUCT<messages: ARRAY<STRUCT<role: STRING, content: STRING>>>') AS r
  FROM `main`.`bake house`.`triage__pending_20261123_060000_ab12` AS pending
  WHERE pending.request IS NOT NULL
  LIMIT 500
);

-- name: prompt, a later wave
-- Ask the next pending requests. The call stands once, and what it returns is stored as it came. The request is given as: prompt.
INSERT INTO `main`.`bake house`.`triage__replies_20261123_060000_ab12`
SELECT
  13 AS wave,
  current_timestamp() AS asked_at,
  request_hash,
  ai_query('my-endpoint.v2', concat_ws('\n\n', r.messages[0].content, r.messages[1].content), failOnError => false, modelParameters => named_struct('max_tokens', 50, 'temperature', CAST(0.5 AS DOUBLE))) AS reply
FROM (
  SELECT pending.request_hash, from_json(pending.request, 'STRUCT<messages: ARRAY<STRUCT<role: STRING, content: STRING>>>') AS r
  FROM `main`.`bake house`.`triage__pending_20261123_060000_ab12` AS pending
  LEFT ANTI JOIN rowcall_staged_20261123_060000_ab12_settled AS settled ON pending.request_hash = settled.request_hash
  WHERE pending.request IS NOT NULL
  LIMIT 10000
);

-- name: read replies of the type struct<response:struct<messages:array<struct<role:string,content:string>>>,error:string>
-- What was returned, with the keys that want it: the last reply to each request, and how often it was asked.
SELECT
  pending.request_hash,
  pending.request,
  pending.keys,
  replies.wave,
  replies.asked_at,
  tries.tries,
  to_json(reply.`response`) AS answer,
  reply.`error` AS error
FROM `main`.`bake house`.`triage__replies_20261123_060000_ab12` AS replies
JOIN (
  SELECT request_hash, max(wave) AS wave, CAST(count(*) AS INT) AS tries
  FROM `main`.`bake house`.`triage__replies_20261123_060000_ab12`
  GROUP BY request_hash
) AS tries
  ON replies.request_hash = tries.request_hash AND replies.wave = tries.wave
JOIN `main`.`bake house`.`triage__pending_20261123_060000_ab12` AS pending
  ON pending.request_hash = replies.request_hash
WHERE replies.wave >= 2;

-- name: rows that are not asked
-- The rows that are not asked.
SELECT request_hash, request, keys FROM `main`.`bake house`.`triage__pending_20261123_060000_ab12` WHERE request IS NULL;

-- name: the rows to ask
-- The rows still to be asked, one per distinct request, with every key that wants its answer.
CREATE TABLE `main`.`bake house`.`triage__pending_20261123_060000_ab12` USING DELTA
AS
SELECT
  rendered.request_hash,
  min(rendered.request) AS request,
  collect_list(rendered.key) AS keys
FROM (
  SELECT request_hash, key, min(request) AS request
  FROM (
    -- Every row of the prompt table: its key, its request as JSON text, and the hash that stands for endpoint and request.
SELECT
  key,
  request,
  sha2(concat('f1d82747456646d6', coalesce(request, '')), 256) AS request_hash
FROM (
  SELECT
    named_struct('id', p.`id`) AS key,
    CASE WHEN p.`text` IS NULL THEN CAST(NULL AS STRING) ELSE CONCAT('{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": ', SUBSTR(TO_JSON(ARRAY(COALESCE(CAST(p.`text` AS STRING), ''))), 2, CHAR_LENGTH(TO_JSON(ARRAY(COALESCE(CAST(p.`text` AS STRING), '')))) - 2), '}], "parameters": {"max_output_tokens": 50, "temperature": 0.5}}') END AS request
  FROM (SELECT * FROM `main`.`bakehouse`.`reviews`
WHERE true AND true) AS p
  WHERE true
)
  )
  WHERE key.`id` IS NOT NULL
  GROUP BY request_hash, key
) AS rendered
LEFT ANTI JOIN (
  SELECT named_struct('id', o.`id`) AS key, request_hash FROM `main`.`bake house`.`triage` AS o WHERE outcome = 'ok'
) AS answered
  ON rendered.key.`id` = answered.key.`id` AND rendered.request_hash = answered.request_hash
GROUP BY rendered.request_hash;
