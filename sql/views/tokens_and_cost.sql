-- Tokens and cost by job and endpoint since the first run, and what a request took of them, as far as it was told.
CREATE OR REPLACE VIEW $view AS
SELECT
  job,
  endpoint,
  currency,
  count(*) AS runs,
  sum(asked) AS asked,
  sum(input_tokens) AS input_tokens,
  sum(cached_tokens) AS cached_tokens,
  sum(output_tokens) AS output_tokens,
  sum(reasoning_tokens) AS reasoning_tokens,
  sum(input_tokens + output_tokens) AS tokens,
  CAST(sum(input_tokens + output_tokens) AS DOUBLE)
    / nullif(sum(CASE WHEN input_tokens + output_tokens IS NOT NULL THEN asked END), 0) AS tokens_a_request,
  sum(cost) AS cost,
  sum(cost) / nullif(sum(CASE WHEN cost IS NOT NULL THEN asked END), 0) AS cost_a_request,
  max(started_at) AS last_started
FROM $runs
GROUP BY job, endpoint, currency
