-- A run in buckets of time: the calls that ended in each, how many more attempts were in flight at its end than at its start, and
-- the seconds of the bucket that those were.
WITH calls AS (
  $calls
),
attempts AS (
  $attempts
)
SELECT
  bucket,
  sum(ok) AS ok,
  sum(not_ok) AS not_ok,
  sum(more) AS more,
  sum(more * rest) / 1e9 AS more_seconds
FROM (
  SELECT
    (ended - $origin) DIV $width AS bucket,
    CASE WHEN outcome = 'ok' THEN 1 ELSE 0 END AS ok,
    CASE WHEN outcome = 'ok' THEN 0 ELSE 1 END AS not_ok,
    0 AS more,
    CAST(0 AS DOUBLE) AS rest
  FROM calls
  UNION ALL
  SELECT (started - $origin) DIV $width, 0, 0, 1, CAST($width - (started - $origin) % $width AS DOUBLE) FROM attempts
  UNION ALL
  SELECT (ended - $origin) DIV $width, 0, 0, -1, CAST($width - (ended - $origin) % $width AS DOUBLE) FROM attempts
)
GROUP BY bucket
ORDER BY bucket
