-- What each job has cost so far, by endpoint and currency; without a price there is no currency and no cost.
SELECT
  job,
  endpoint,
  count(*) AS runs,
  sum(asked) AS asked,
  sum(ok) AS ok,
  sum(input_tokens) AS input_tokens,
  sum(cached_tokens) AS cached_tokens,
  sum(output_tokens) AS output_tokens,
  sum(reasoning_tokens) AS reasoning_tokens,
  sum(cost) AS cost,
  currency,
  sum(cost) * 1000 / nullif(sum(ok), 0) AS cost_of_1000_ok,
  min(started_at) AS first_run,
  max(started_at) AS last_run
FROM $runs
WHERE asked > 0 AND (:job = '' OR job = :job)
GROUP BY job, endpoint, currency
ORDER BY job, endpoint, currency
