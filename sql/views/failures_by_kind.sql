-- Requests without an ok answer each day, by outcome or kind of error.
CREATE OR REPLACE VIEW $view AS
SELECT
  CAST(started_at AS DATE) AS day,
  job,
  endpoint,
  kind,
  sum(requests) AS requests
FROM $runs LATERAL VIEW explode(failures) f AS kind, requests
GROUP BY CAST(started_at AS DATE), job, endpoint, kind
