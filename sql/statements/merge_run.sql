-- The row of a run: written when it starts, replaced when it ends.
MERGE INTO $runs AS t
USING $staged AS s
ON t.run_id = s.run_id
WHEN MATCHED THEN UPDATE SET *
WHEN NOT MATCHED THEN INSERT *
