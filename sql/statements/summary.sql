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
  FROM $staged
) AS ranked
WHERE pick = 1
GROUP BY outcome, error.kind
