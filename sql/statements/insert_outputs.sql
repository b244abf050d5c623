-- Publish staged answers to keys that have none. Insert only, so of the table it reads the keys; publishing twice changes nothing.
MERGE INTO $outputs AS t
USING (
  $answers
) AS s
ON $same_key
WHEN NOT MATCHED THEN INSERT $insert
