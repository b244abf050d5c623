-- How the attempts of a run ended, how long they took together, and what was said of one that failed.
WITH calls AS (
  $calls
),
attempts AS (
  $attempts
)
SELECT
  kind,
  http_status,
  count(*) AS attempts,
  sum(CAST(ended - started AS DOUBLE)) / 1e9 AS seconds,
  min_by(substr(message, 1, 1000), started) AS example
FROM attempts
GROUP BY kind, http_status
