-- A row where a staged answer is better than the one its key has: a better outcome, or an equal one that is newer.
SELECT 1 AS better
FROM (
  $answers
) AS s
JOIN $outputs AS t ON $same_key
WHERE $better
LIMIT 1
