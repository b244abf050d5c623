-- Publish staged answers that are better than those their keys have; publishing twice changes nothing.
MERGE INTO $outputs AS t
USING (
  $answers
) AS s
ON $same_key
WHEN MATCHED AND ($better) THEN UPDATE SET $update
