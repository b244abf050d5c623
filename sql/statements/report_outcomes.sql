-- How the calls of a run ended, when the first began and the last ended, and what was said of one that failed.
WITH calls AS (
  $calls
)
SELECT
  outcome,
  kind,
  count(*) AS calls,
  min(started) AS first_started,
  max(ended) AS last_ended,
  min_by(substr(message, 1, 1000), started) AS example
FROM calls
GROUP BY outcome, kind
