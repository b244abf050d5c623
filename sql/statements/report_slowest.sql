-- The calls that took longest, each with all of its spans.
WITH calls AS (
  $calls
),
slowest AS (
  SELECT trace_id, ended - started AS took FROM calls ORDER BY took DESC, trace_id LIMIT $limit
)
SELECT
  spans.trace_id,
  spans.span_id,
  spans.parent_span_id,
  substr(spans.name, 1, 200) AS name,
  spans.kind,
  spans.start_time_unix_nano AS started,
  spans.end_time_unix_nano AS ended,
  spans.status.code = 'STATUS_CODE_ERROR' AS failed,
  substr(spans.status.message, 1, 1000) AS message,
  get_json_object(spans.attributes, "$$['error.type']") AS error_kind,
  CAST(get_json_object(spans.attributes, "$$['http.response.status_code']") AS INT) AS http_status,
  CAST(get_json_object(spans.attributes, "$$['rowcall.waited_seconds']") AS DOUBLE) AS waited,
  get_json_object(spans.attributes, "$$['rowcall.waited_for']") AS waited_for,
  get_json_object(spans.attributes, "$$['rowcall.outcome']") AS outcome,
  CAST(get_json_object(spans.attributes, "$$['gen_ai.usage.input_tokens']") AS BIGINT) AS input_tokens,
  CAST(get_json_object(spans.attributes, "$$['gen_ai.usage.output_tokens']") AS BIGINT) AS output_tokens,
  substr(get_json_object(spans.attributes, "$$['rowcall.request']"), 1, 80000) AS request,
  substr(get_json_object(spans.attributes, "$$['rowcall.answer']"), 1, 1000) AS answer
FROM $traces AS spans
JOIN slowest ON spans.trace_id = slowest.trace_id
WHERE spans.date BETWEEN CAST(:since AS DATE) AND CAST(:until AS DATE)
ORDER BY slowest.took DESC, spans.trace_id, spans.start_time_unix_nano, spans.span_id
LIMIT 5000
