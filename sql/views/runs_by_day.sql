-- What was asked each day, by job and endpoint, and what it took. Requests that runs asked to the end, whatever came of them.
CREATE OR REPLACE VIEW $view AS
SELECT
  CAST(started_at AS DATE) AS day,
  job,
  endpoint,
  engine,
  status,
  currency,
  count(*) AS runs,
  sum(asked) AS asked,
  sum(ok) AS ok,
  sum(failed) AS failed,
  CAST(sum(ok) AS DOUBLE) / nullif(sum(asked), 0) AS ok_share,
  sum(input_tokens) AS input_tokens,
  sum(output_tokens) AS output_tokens,
  sum(input_tokens + output_tokens) AS tokens,
  sum(cost) AS cost,
  sum(CAST(unix_micros(ended_at) - unix_micros(started_at) AS DOUBLE)) / 1e6 AS seconds
FROM $runs
GROUP BY CAST(started_at AS DATE), job, endpoint, engine, status, currency
