-- name: count
-- What becomes of the rows: counted before anything is paid, in one pass: engines repeat a CTE that is used twice.
WITH rendered AS (
  -- Every row of the prompt table: its key, its request as JSON text, and the hash that stands for endpoint and request.
SELECT
  key,
  request,
  sha2(concat('ff1b7f54363d69fb', coalesce(request, '')), 256) AS request_hash
FROM (
  SELECT
    named_struct('review_id', p.`review_id`) AS key,
    CASE WHEN p.`review` IS NULL THEN CAST(NULL AS STRING) ELSE CONCAT('{"messages": [{"role": "user", "content": ', SUBSTR(TO_JSON(ARRAY(COALESCE(CAST(p.`review` AS STRING), ''))), 2, CHAR_LENGTH(TO_JSON(ARRAY(COALESCE(CAST(p.`review` AS STRING), '')))) - 2), '}]}') END AS request
  FROM (SELECT * FROM `main`.`bakehouse`.`reviews`
WHERE true AND true) AS p
  WHERE true
)
),
by_key AS (
  SELECT
    key,
    count(*) AS copies,
    min(request_hash) AS request_hash,
    max(request_hash) AS other_hash,
    max(char_length(request)) AS chars
  FROM rendered
  GROUP BY key
),
answered AS (
  SELECT named_struct('review_id', o.`review_id`) AS key, request_hash FROM `main`.`bakehouse`.`review_triage` AS o WHERE outcome = 'ok'
),
marked AS (
  SELECT
    by_key.copies,
    by_key.request_hash <> by_key.other_hash AS clashes,
    by_key.chars,
    by_key.key.`review_id` IS NULL AS key_is_null,
    CASE WHEN answered.request_hash IS NULL THEN by_key.request_hash END AS pending
  FROM by_key
  LEFT JOIN answered ON by_key.key.`review_id` = answered.key.`review_id` AND by_key.request_hash = answered.request_hash
),
requests AS (
  SELECT
    pending,
    sum(copies) AS copies,
    sum(CASE WHEN key_is_null THEN copies ELSE 0 END) AS null_keys,
    sum(CASE WHEN clashes THEN 1 ELSE 0 END) AS clashing_keys,
    max(chars) AS chars
  FROM marked
  GROUP BY pending
)
SELECT
  coalesce(sum(copies), 0) AS source,
  coalesce(sum(CASE WHEN pending IS NULL THEN copies END), 0) AS answered,
  coalesce(sum(null_keys), 0) AS null_keys,
  coalesce(sum(clashing_keys), 0) AS clashing_keys,
  count(pending) AS pending,
  coalesce(sum(CASE WHEN pending IS NOT NULL THEN chars END), 0) AS input_chars
FROM requests;

-- name: clashing_keys
-- A few of the keys that stand for different requests.
SELECT key FROM (
  SELECT key
  FROM (
    -- Every row of the prompt table: its key, its request as JSON text, and the hash that stands for endpoint and request.
SELECT
  key,
  request,
  sha2(concat('ff1b7f54363d69fb', coalesce(request, '')), 256) AS request_hash
FROM (
  SELECT
    named_struct('review_id', p.`review_id`) AS key,
    CASE WHEN p.`review` IS NULL THEN CAST(NULL AS STRING) ELSE CONCAT('{"messages": [{"role": "user", "content": ', SUBSTR(TO_JSON(ARRAY(COALESCE(CAST(p.`review` AS STRING), ''))), 2, CHAR_LENGTH(TO_JSON(ARRAY(COALESCE(CAST(p.`review` AS STRING), '')))) - 2), '}]}') END AS request
  FROM (SELECT * FROM `main`.`bakehouse`.`reviews`
WHERE true AND true) AS p
  WHERE true
)
  )
  GROUP BY key
  HAVING min(request_hash) <> max(request_hash)
)
ORDER BY key.`review_id`
LIMIT 3;

-- name: preview
-- The first rows of the prompt table with their requests.
SELECT key, request FROM (
  -- Every row of the prompt table: its key, its request as JSON text, and the hash that stands for endpoint and request.
SELECT
  key,
  request,
  sha2(concat('ff1b7f54363d69fb', coalesce(request, '')), 256) AS request_hash
FROM (
  SELECT
    named_struct('review_id', p.`review_id`) AS key,
    CASE WHEN p.`review` IS NULL THEN CAST(NULL AS STRING) ELSE CONCAT('{"messages": [{"role": "user", "content": ', SUBSTR(TO_JSON(ARRAY(COALESCE(CAST(p.`review` AS STRING), ''))), 2, CHAR_LENGTH(TO_JSON(ARRAY(COALESCE(CAST(p.`review` AS STRING), '')))) - 2), '}]}') END AS request
  FROM (SELECT * FROM `main`.`bakehouse`.`reviews`
WHERE true AND true) AS p
  WHERE true
)
)
ORDER BY key.`review_id`
LIMIT 3;

-- name: create outputs
-- One row per key: the best answer so far.
CREATE TABLE IF NOT EXISTS `main`.`bakehouse`.`review_triage` (
  `review_id` BIGINT COMMENT 'Key of the prompt row',
  answer STRING COMMENT 'What the endpoint answered; NULL unless the outcome is ok or truncated',
  outcome STRING COMMENT 'ok, truncated, empty, refused, invalid or error; only ok counts as answered',
  error STRUCT<kind: STRING, status: INT, code: STRING, message: STRING> COMMENT 'Why there is no answer',
  usage STRUCT<input_tokens: BIGINT, cached_tokens: BIGINT, output_tokens: BIGINT, reasoning_tokens: BIGINT, total_tokens: BIGINT> COMMENT 'Tokens as the endpoint counted them, on the row that was asked',
  cost DOUBLE COMMENT 'Tokens times endpoint.price, on the row that was asked',
  latency_ms BIGINT COMMENT 'From the first attempt to the last reply, waits included; NULL where ai_query asked',
  attempts INT COMMENT 'How often it was asked; 0 where an identical request was asked for another key',
  custom_outputs STRING COMMENT 'What the agent returned beside the answer, as JSON',
  trace_id STRING COMMENT 'Finds the spans in the traces table',
  request_hash STRING COMMENT 'Stands for the endpoint and the request; another hash means the row is asked again',
  run_id STRING COMMENT 'The run that answered',
  answered_at TIMESTAMP COMMENT 'When the last reply came'
) USING DELTA
COMMENT 'Answers of job triage';

-- name: create traces
-- One row per span: the call, its attempts, and the agent's own spans. The columns are those of the span tables that
-- Databricks keeps in Unity Catalog (version 2), with attributes as JSON text.
CREATE TABLE IF NOT EXISTS `main`.`rowcall`.`traces` (
  record_id STRING COMMENT 'trace_id and span_id together',
  time TIMESTAMP COMMENT 'When the span started',
  date DATE COMMENT 'The day of the call',
  service_name STRING COMMENT 'rowcall, or what the agent calls itself',
  trace_id STRING COMMENT '32 hex digits',
  span_id STRING COMMENT '16 hex digits',
  trace_state STRING,
  parent_span_id STRING,
  flags INT,
  name STRING COMMENT 'What was done, e.g. invoke_agent review-triage',
  kind STRING COMMENT 'SPAN_KIND_CLIENT for calls, SPAN_KIND_INTERNAL inside the agent',
  start_time_unix_nano BIGINT,
  end_time_unix_nano BIGINT,
  attributes STRING COMMENT 'JSON; gen_ai.* and rowcall.* names',
  dropped_attributes_count INT,
  events ARRAY<STRUCT<time_unix_nano: BIGINT, name: STRING, attributes: STRING, dropped_attributes_count: INT>>,
  dropped_events_count INT,
  links ARRAY<STRUCT<trace_id: STRING, span_id: STRING, trace_state: STRING, attributes: STRING, dropped_attributes_count: INT, flags: INT>>,
  dropped_links_count INT,
  status STRUCT<message: STRING, code: STRING>,
  resource STRUCT<attributes: STRING, dropped_attributes_count: INT>,
  resource_schema_url STRING,
  instrumentation_scope STRUCT<name: STRING, version: STRING, attributes: STRING, dropped_attributes_count: INT>,
  span_schema_url STRING
) USING DELTA
COMMENT 'Spans of every call rowcall made, in the OpenTelemetry layout';

-- name: create runs
-- One row per run.
CREATE TABLE IF NOT EXISTS `main`.`rowcall`.`runs` (
  run_id STRING COMMENT 'Starts with the time of the start, UTC',
  job STRING COMMENT 'The name in the job definition',
  status STRING COMMENT 'running, done, stopped or failed; a run found dead is marked interrupted',
  message STRING COMMENT 'Why it stopped or failed',
  engine STRING COMMENT 'How the rows were asked',
  endpoint STRING COMMENT 'What was asked, e.g. app review-triage',
  outputs_table STRING,
  traces_table STRING,
  definition_hash STRING COMMENT 'Stands for the job definition as it was',
  concurrency INT COMMENT 'Most calls in flight at once; NULL where ai_query asked',
  tasks INT COMMENT 'Tasks that shared them',
  source_rows BIGINT COMMENT 'Rows of the prompt table',
  duplicate_rows BIGINT COMMENT 'Rows that share the request of another',
  answered_rows BIGINT COMMENT 'Rows that had their answer already',
  pending_rows BIGINT COMMENT 'Requests to ask',
  asked BIGINT COMMENT 'Requests that were asked to the end',
  ok BIGINT,
  failed BIGINT,
  retries BIGINT COMMENT 'Attempts beyond the first',
  failures MAP<STRING, BIGINT> COMMENT 'Requests without an ok answer, by outcome or kind of error',
  input_tokens BIGINT COMMENT 'As told by the endpoint; NULL where it told none',
  output_tokens BIGINT COMMENT 'As told by the endpoint; NULL where it told none',
  cost DOUBLE,
  currency STRING,
  started_at TIMESTAMP,
  ended_at TIMESTAMP COMMENT 'Of a run that was interrupted, its last sign of life',
  rowcall_version STRING,
  statement_ids ARRAY<STRING> COMMENT 'Its statements in the query history of the SQL warehouse, in order',
  context MAP<STRING, STRING> COMMENT 'Where it ran: host, git commit, Databricks job and run ids, its journal',
  cached_tokens BIGINT COMMENT 'Input tokens that the endpoint had in its cache; part of input_tokens',
  reasoning_tokens BIGINT COMMENT 'Output tokens that went into reasoning; part of output_tokens',
  slot_seconds MAP<STRING, DOUBLE> COMMENT 'Where the time of its call slots went, by state, summed over tasks',
  bound_by STRING COMMENT 'What held it up, and which number to change'
) USING DELTA
COMMENT 'Every run of every rowcall job';

-- name: pending
-- The rows still to be asked, one per distinct request, with every key that wants its answer.
CREATE TABLE `main`.`bakehouse`.`review_triage__pending_20261123_060000_ab12` USING DELTA
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
  sha2(concat('ff1b7f54363d69fb', coalesce(request, '')), 256) AS request_hash
FROM (
  SELECT
    named_struct('review_id', p.`review_id`) AS key,
    CASE WHEN p.`review` IS NULL THEN CAST(NULL AS STRING) ELSE CONCAT('{"messages": [{"role": "user", "content": ', SUBSTR(TO_JSON(ARRAY(COALESCE(CAST(p.`review` AS STRING), ''))), 2, CHAR_LENGTH(TO_JSON(ARRAY(COALESCE(CAST(p.`review` AS STRING), '')))) - 2), '}]}') END AS request
  FROM (SELECT * FROM `main`.`bakehouse`.`reviews`
WHERE true AND true) AS p
  WHERE true
)
  )
  WHERE key.`review_id` IS NOT NULL
  GROUP BY request_hash, key
) AS rendered
LEFT ANTI JOIN (
  SELECT named_struct('review_id', o.`review_id`) AS key, request_hash FROM `main`.`bakehouse`.`review_triage` AS o WHERE outcome = 'ok'
) AS answered
  ON rendered.key.`review_id` = answered.key.`review_id` AND rendered.request_hash = answered.request_hash
GROUP BY rendered.request_hash;

-- name: fetch
SELECT request_hash, request, keys FROM `main`.`bakehouse`.`review_triage__pending_20261123_060000_ab12`;

-- name: insert_outputs
-- Publish staged answers to keys that have none. Insert only, so of the table it reads the keys; publishing twice changes nothing.
MERGE INTO `main`.`bakehouse`.`review_triage` AS t
USING (
  -- The best of the staged answers of each key: ok, then truncated, then the rest; of equals the newest.
SELECT
  key.`review_id` AS `review_id`,
  answer AS answer,
  outcome,
  error,
  CASE WHEN place = 0 THEN usage END AS usage,
  CASE WHEN place = 0 THEN cost END AS cost,
  latency_ms,
  CASE WHEN place = 0 THEN attempts ELSE 0 END AS attempts,
  custom_outputs,
  trace_id,
  request_hash,
  '20261123-060000-ab12' AS run_id,
  answered_at
FROM (
  SELECT
    *,
    row_number() OVER (
      PARTITION BY key.`review_id`
      ORDER BY CASE outcome WHEN 'ok' THEN 0 WHEN 'truncated' THEN 1 ELSE 2 END, answered_at DESC, trace_id
    ) AS pick
  FROM rowcall_staged_20261123_060000_ab12 LATERAL VIEW posexplode(keys) e AS place, key
) AS ranked
WHERE pick = 1
) AS s
ON t.`review_id` = s.`review_id`
WHEN NOT MATCHED THEN INSERT *;

-- name: better_outputs
-- A row where a staged answer is better than the one its key has: a better outcome, or an equal one that is newer.
SELECT 1 AS better
FROM (
  -- The best of the staged answers of each key: ok, then truncated, then the rest; of equals the newest.
SELECT
  key.`review_id` AS `review_id`,
  answer AS answer,
  outcome,
  error,
  CASE WHEN place = 0 THEN usage END AS usage,
  CASE WHEN place = 0 THEN cost END AS cost,
  latency_ms,
  CASE WHEN place = 0 THEN attempts ELSE 0 END AS attempts,
  custom_outputs,
  trace_id,
  request_hash,
  '20261123-060000-ab12' AS run_id,
  answered_at
FROM (
  SELECT
    *,
    row_number() OVER (
      PARTITION BY key.`review_id`
      ORDER BY CASE outcome WHEN 'ok' THEN 0 WHEN 'truncated' THEN 1 ELSE 2 END, answered_at DESC, trace_id
    ) AS pick
  FROM rowcall_staged_20261123_060000_ab12 LATERAL VIEW posexplode(keys) e AS place, key
) AS ranked
WHERE pick = 1
) AS s
JOIN `main`.`bakehouse`.`review_triage` AS t ON t.`review_id` = s.`review_id`
WHERE CASE s.outcome WHEN 'ok' THEN 0 WHEN 'truncated' THEN 1 ELSE 2 END < CASE t.outcome WHEN 'ok' THEN 0 WHEN 'truncated' THEN 1 ELSE 2 END OR (CASE s.outcome WHEN 'ok' THEN 0 WHEN 'truncated' THEN 1 ELSE 2 END = CASE t.outcome WHEN 'ok' THEN 0 WHEN 'truncated' THEN 1 ELSE 2 END AND s.answered_at > t.answered_at)
LIMIT 1;

-- name: update_outputs
-- Publish staged answers that are better than those their keys have; publishing twice changes nothing.
MERGE INTO `main`.`bakehouse`.`review_triage` AS t
USING (
  -- The best of the staged answers of each key: ok, then truncated, then the rest; of equals the newest.
SELECT
  key.`review_id` AS `review_id`,
  answer AS answer,
  outcome,
  error,
  CASE WHEN place = 0 THEN usage END AS usage,
  CASE WHEN place = 0 THEN cost END AS cost,
  latency_ms,
  CASE WHEN place = 0 THEN attempts ELSE 0 END AS attempts,
  custom_outputs,
  trace_id,
  request_hash,
  '20261123-060000-ab12' AS run_id,
  answered_at
FROM (
  SELECT
    *,
    row_number() OVER (
      PARTITION BY key.`review_id`
      ORDER BY CASE outcome WHEN 'ok' THEN 0 WHEN 'truncated' THEN 1 ELSE 2 END, answered_at DESC, trace_id
    ) AS pick
  FROM rowcall_staged_20261123_060000_ab12 LATERAL VIEW posexplode(keys) e AS place, key
) AS ranked
WHERE pick = 1
) AS s
ON t.`review_id` = s.`review_id`
WHEN MATCHED AND (CASE s.outcome WHEN 'ok' THEN 0 WHEN 'truncated' THEN 1 ELSE 2 END < CASE t.outcome WHEN 'ok' THEN 0 WHEN 'truncated' THEN 1 ELSE 2 END OR (CASE s.outcome WHEN 'ok' THEN 0 WHEN 'truncated' THEN 1 ELSE 2 END = CASE t.outcome WHEN 'ok' THEN 0 WHEN 'truncated' THEN 1 ELSE 2 END AND s.answered_at > t.answered_at)) THEN UPDATE SET *;

-- name: merge_traces
-- Publish staged spans. Insert only: publishing twice changes nothing.
MERGE INTO `main`.`rowcall`.`traces` AS t
USING (
  SELECT
    concat(span.trace_id, span.span_id) AS record_id,
    timestamp_micros(span.start_time_unix_nano DIV 1000) AS time,
    called_on AS date,
    'rowcall' AS service_name,
    span.trace_id AS trace_id,
    span.span_id AS span_id,
    CAST(NULL AS STRING) AS trace_state,
    span.parent_span_id AS parent_span_id,
    1 AS flags,
    span.name AS name,
    span.kind AS kind,
    span.start_time_unix_nano AS start_time_unix_nano,
    span.end_time_unix_nano AS end_time_unix_nano,
    span.attributes AS attributes,
    0 AS dropped_attributes_count,
    span.events AS events,
    0 AS dropped_events_count,
    CAST(NULL AS ARRAY<STRUCT<trace_id: STRING, span_id: STRING, trace_state: STRING, attributes: STRING, dropped_attributes_count: INT, flags: INT>>) AS links,
    0 AS dropped_links_count,
    span.status AS status,
    named_struct('attributes', '{"service.name": "rowcall", "service.version": "1.0"}', 'dropped_attributes_count', 0) AS resource,
    CAST(NULL AS STRING) AS resource_schema_url,
    named_struct('name', 'rowcall', 'version', '1.0', 'attributes', CAST(NULL AS STRING), 'dropped_attributes_count', 0) AS instrumentation_scope,
    CAST(NULL AS STRING) AS span_schema_url
  FROM (
    SELECT span, CAST(answered_at AS DATE) AS called_on, row_number() OVER (PARTITION BY span.trace_id, span.span_id ORDER BY span.end_time_unix_nano DESC) AS pick
    FROM rowcall_staged_20261123_060000_ab12 LATERAL VIEW explode(spans) e AS span
  ) AS spans
  WHERE pick = 1
) AS s
ON t.record_id = s.record_id AND t.date >= DATE '2026-11-22'
WHEN NOT MATCHED THEN INSERT *;

-- name: merge_run
-- The row of a run: written when it starts, replaced when it ends.
MERGE INTO `main`.`rowcall`.`runs` AS t
USING rowcall_staged_20261123_060000_ab12 AS s
ON t.run_id = s.run_id
WHEN MATCHED THEN UPDATE SET *
WHEN NOT MATCHED THEN INSERT *;

-- name: summary
-- How the asked requests of the staged view ended, and when the last of them was answered. Of tokens that nobody told the sum is NULL.
SELECT
  outcome,
  error.kind AS kind,
  count(*) AS requests,
  sum(greatest(attempts - 1, 0)) AS retries,
  sum(usage.input_tokens) AS input_tokens,
  sum(usage.output_tokens) AS output_tokens,
  sum(usage.cached_tokens) AS cached_tokens,
  sum(usage.reasoning_tokens) AS reasoning_tokens,
  sum(cost) AS cost,
  unix_micros(max(answered_at)) AS last_answered_us
FROM (
  SELECT
    *,
    row_number() OVER (
      PARTITION BY request_hash
      ORDER BY CASE WHEN outcome = 'ok' THEN 0 ELSE 1 END, answered_at DESC, trace_id
    ) AS pick
  FROM rowcall_staged_20261123_060000_ab12
) AS ranked
WHERE pick = 1
GROUP BY outcome, error.kind;

-- name: evidence
-- What earlier answers to the requests as they are now took, against the characters of a request: the sums that a line needs.
SELECT
  measured.name AS name,
  count(*) AS answers,
  sum(measured.x) AS x,
  sum(measured.y) AS y,
  sum(measured.x * measured.x) AS xx,
  sum(measured.x * measured.y) AS xy,
  sum(measured.y * measured.y) AS yy,
  max(measured.y) AS most
FROM (
  SELECT explode(array(
    named_struct('name', 'input_tokens', 'x', asked.x, 'y', CAST(o.usage.input_tokens AS DOUBLE)),
    named_struct('name', 'output_tokens', 'x', asked.x, 'y', CAST(o.usage.output_tokens AS DOUBLE)),
    named_struct('name', 'cost', 'x', asked.x, 'y', CAST(NULL AS DOUBLE)),
    named_struct('name', 'seconds', 'x', asked.x, 'y', o.latency_ms / 1000.0D)
  )) AS measured
  FROM (
    SELECT key, max(request_hash) AS request_hash, CAST(max(char_length(request)) AS DOUBLE) AS x
    FROM (
      -- Every row of the prompt table: its key, its request as JSON text, and the hash that stands for endpoint and request.
SELECT
  key,
  request,
  sha2(concat('ff1b7f54363d69fb', coalesce(request, '')), 256) AS request_hash
FROM (
  SELECT
    named_struct('review_id', p.`review_id`) AS key,
    CASE WHEN p.`review` IS NULL THEN CAST(NULL AS STRING) ELSE CONCAT('{"messages": [{"role": "user", "content": ', SUBSTR(TO_JSON(ARRAY(COALESCE(CAST(p.`review` AS STRING), ''))), 2, CHAR_LENGTH(TO_JSON(ARRAY(COALESCE(CAST(p.`review` AS STRING), '')))) - 2), '}]}') END AS request
  FROM (SELECT * FROM `main`.`bakehouse`.`reviews`
WHERE true AND true) AS p
  WHERE true
)
    )
    GROUP BY key
  ) AS asked
  JOIN `main`.`bakehouse`.`review_triage` AS o
    ON o.`review_id` = asked.key.`review_id` AND o.request_hash = asked.request_hash
  WHERE o.attempts > 0
)
WHERE measured.y IS NOT NULL
GROUP BY measured.name;
