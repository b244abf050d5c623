-- How the asked requests of the staged view ended.
SELECT
  outcome,
  error.kind AS kind,
  count(*) AS requests,
  sum(greatest(attempts - 1, 0)) AS retries,
  sum(coalesce(usage.input_tokens, 0)) AS input_tokens,
  sum(coalesce(usage.output_tokens, 0)) AS output_tokens,
  sum(coalesce(usage.cached_tokens, 0)) AS cached_tokens,
  sum(coalesce(usage.reasoning_tokens, 0)) AS reasoning_tokens,
  sum(cost) AS cost
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
