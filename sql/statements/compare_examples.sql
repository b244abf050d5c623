-- Rows whose outcomes or answers differ.
SELECT
  $keys,
  a.outcome AS outcome_a,
  b.outcome AS outcome_b,
  $answer_a AS answer_a,
  $answer_b AS answer_b
FROM (
  $a
) AS a
JOIN (
  $b
) AS b
  ON $same_key
WHERE a.outcome <> b.outcome OR (a.outcome = 'ok' AND NOT ($same))
ORDER BY $order
LIMIT $limit
