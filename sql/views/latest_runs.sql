-- Each run: how it went, what it cost, what held it up.
CREATE OR REPLACE VIEW $view AS
SELECT
  started_at,
  CAST(started_at AS DATE) AS day,
  run_id,
  job,
  endpoint,
  engine,
  status,
  message,
  pending_rows,
  asked,
  ok,
  failed,
  CAST(ok AS DOUBLE) / nullif(asked, 0) AS ok_share,
  CAST(unix_micros(ended_at) - unix_micros(started_at) AS DOUBLE) / 1e6 AS seconds,
  input_tokens + output_tokens AS tokens,
  cost,
  currency,
  bound_by
FROM $runs
