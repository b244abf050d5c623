-- Where the time of call slots went each day, by state.
CREATE OR REPLACE VIEW $view AS
SELECT
  day,
  job,
  endpoint,
  state,
  sum(seconds) / 3600 AS hours
FROM (
  SELECT CAST(started_at AS DATE) AS day, job, endpoint, state, seconds
  FROM $runs LATERAL VIEW explode(slot_seconds) s AS state, seconds
)
WHERE state <> 'client_cpu'
GROUP BY day, job, endpoint, state
