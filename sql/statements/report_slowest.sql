-- The calls that took longest, each with all of its spans; what the agent's own say is not needed.
WITH calls AS (
  $calls
),
slowest AS (
  SELECT trace_id, span_id, ended - started AS took FROM calls ORDER BY took DESC, trace_id LIMIT $limit
)
SELECT
  spans.trace_id,
  spans.span_id,
  spans.parent_span_id,
  substr(spans.name, 1, 200) AS name,
  spans.start_time_unix_nano,
  spans.end_time_unix_nano,
  CASE WHEN spans.parent_span_id IS NULL OR spans.parent_span_id = slowest.span_id THEN spans.attributes END AS attributes,
  NULL AS events,
  spans.status
FROM $traces AS spans
JOIN slowest ON spans.trace_id = slowest.trace_id
WHERE spans.date BETWEEN CAST(:since AS DATE) AND CAST(:until AS DATE)
ORDER BY slowest.took DESC, spans.trace_id
LIMIT 5000
