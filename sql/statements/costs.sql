-- What each job has cost so far, by endpoint and currency; without a price there is no currency and no cost. Runs without an end,
-- of which nothing is counted yet, are named in `unfinished`.
SELECT
  job,
  endpoint,
  sum(CASE WHEN asked > 0 THEN 1 ELSE 0 END) AS runs,
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
  max(started_at) AS last_run,
  array_sort(collect_list(CASE WHEN status = 'running' THEN run_id END)) AS unfinished
FROM $runs
WHERE (asked > 0 OR status = 'running') AND (:job = '' OR job = :job)
GROUP BY job, endpoint, currency
ORDER BY job, endpoint, currency
