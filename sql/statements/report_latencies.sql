-- How long calls took, waits included: counted in steps of 1/50 of a power of ten.
WITH calls AS (
  $calls
)
SELECT
  CAST(floor(log10(greatest(ended - started, 1)) * 50) AS INT) AS step,
  count(*) AS calls,
  min(ended - started) AS fastest,
  max(ended - started) AS slowest
FROM calls
GROUP BY 1
ORDER BY 1
