-- What one side of a comparison answered, and what that took.
SELECT
  count(*) AS rows,
  count(DISTINCT request_hash) AS requests,
  coalesce(sum(CASE WHEN outcome = 'ok' THEN 1 ELSE 0 END), 0) AS ok,
  sum(usage.input_tokens) AS input_tokens,
  sum(usage.cached_tokens) AS cached_tokens,
  sum(usage.output_tokens) AS output_tokens,
  sum(usage.reasoning_tokens) AS reasoning_tokens,
  sum(cost) AS cost,
  avg(CASE WHEN attempts > 0 THEN latency_ms END) AS mean_latency_ms,
  percentile_approx(CASE WHEN attempts > 0 THEN latency_ms END, 0.5) AS median_latency_ms,
  percentile_approx(CASE WHEN attempts > 0 THEN latency_ms END, 0.95) AS p95_latency_ms
FROM (
  $side
) AS o
