-- What happened to each row, one line a step: the call, its waits and attempts, the agent's own spans. Times count in
-- milliseconds from the beginning of the call; waits and attempts add up to it. For one row:
-- SELECT * FROM <view> WHERE trace_id = (SELECT trace_id FROM <outputs> WHERE <key> = …) ORDER BY step
CREATE OR REPLACE VIEW $view AS
WITH calls AS (
  SELECT trace_id, span_id AS root, start_time_unix_nano AS began, attributes AS said
  FROM $traces
  WHERE service_name = 'rowcall' AND parent_span_id IS NULL
),
spans AS (
  SELECT
    calls.root, calls.began, calls.said, s.trace_id, s.span_id, s.parent_span_id, s.name, s.attributes, s.status,
    s.start_time_unix_nano AS started,
    s.end_time_unix_nano AS ended,
    CASE WHEN s.span_id = calls.root THEN 'call' WHEN s.parent_span_id = calls.root THEN 'attempt' ELSE 'agent' END AS kind
  FROM $traces AS s
  JOIN calls ON s.trace_id = calls.trace_id
),
attempts AS (
  SELECT *, coalesce(lag(ended) OVER (PARTITION BY trace_id ORDER BY started), began) AS free
  FROM spans
  WHERE kind = 'attempt'
),
steps AS (
  SELECT
    trace_id, said, span_id, parent_span_id, kind, name, began, started, ended, attributes, status,
    CASE kind WHEN 'call' THEN 0 WHEN 'attempt' THEN 2 ELSE 3 END AS place
  FROM spans
  UNION ALL
  SELECT
    trace_id, said, CAST(NULL AS STRING), root, 'wait',
    coalesce(get_json_object(attributes, "$$['rowcall.waited_for']"), 'its turn'),
    began, free, started, CAST(NULL AS STRING), CAST(NULL AS STRUCT<message: STRING, code: STRING>), 1
  FROM attempts
  WHERE started - free >= 1000000
)
SELECT
  trace_id,
  row_number() OVER (PARTITION BY trace_id ORDER BY place = 0 DESC, started, place, span_id) AS step,
  kind,
  name,
  (started - began) / 1e6 AS offset_ms,
  (ended - started) / 1e6 AS duration_ms,
  status.code = 'STATUS_CODE_ERROR' AS failed,
  status.message AS message,
  try_cast(get_json_object(attributes, "$$['http.response.status_code']") AS INT) AS http_status,
  try_cast(get_json_object(attributes, "$$['rowcall.retry_after_seconds']") AS DOUBLE) AS retry_after_seconds,
  try_cast(get_json_object(attributes, "$$['rowcall.first_byte_ms']") AS BIGINT) AS first_byte_ms,
  get_json_object(attributes, "$$['rowcall.request_id']") AS request_id,
  coalesce(get_json_object(attributes, "$$['error.type']"), get_json_object(attributes, "$$['rowcall.outcome']")) AS outcome,
  try_cast(get_json_object(attributes, "$$['gen_ai.usage.input_tokens']") AS BIGINT) AS input_tokens,
  try_cast(get_json_object(attributes, "$$['gen_ai.usage.output_tokens']") AS BIGINT) AS output_tokens,
  get_json_object(said, "$$['rowcall.job']") AS job,
  get_json_object(said, "$$['rowcall.run_id']") AS run_id,
  get_json_object(said, "$$['rowcall.request_hash']") AS request_hash,
  span_id,
  parent_span_id
FROM steps
