-- The row of a run, its times as numbers too: they are the same wherever they are read.
SELECT
  *,
  unix_micros(started_at) AS started_us,
  unix_micros(ended_at) AS ended_us,
  unix_micros(current_timestamp()) AS now_us
FROM $runs
WHERE run_id = :run_id
