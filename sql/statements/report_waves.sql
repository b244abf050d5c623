-- The statements that asked, where ai_query did.
WITH calls AS (
  $calls
),
attempts AS (
  $attempts
)
SELECT
  wave,
  max(statement_id) AS statement_id,
  count(*) AS asked,
  sum(CASE WHEN kind IS NULL THEN 0 ELSE 1 END) AS failed,
  min(started) AS started,
  max(ended) AS ended
FROM attempts
WHERE wave IS NOT NULL
GROUP BY wave
ORDER BY wave
LIMIT $limit
