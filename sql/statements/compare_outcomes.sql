-- How the rows of two sides ended, and how many of their answers are the same; an outcome that is NULL is a row the side has not.
SELECT
  a.outcome AS a,
  b.outcome AS b,
  count(*) AS rows,
  sum(CASE WHEN $same THEN 1 ELSE 0 END) AS same$fields
FROM (
  $a
) AS a
FULL OUTER JOIN (
  $b
) AS b
  ON $same_key
GROUP BY a.outcome, b.outcome
ORDER BY rows DESC, a, b
