-- Other jobs that have asked for these outputs since this one first did.
SELECT DISTINCT other.job
FROM $runs AS own
JOIN $runs AS other
  ON other.outputs_table = own.outputs_table AND other.started_at > own.started_at
WHERE own.outputs_table = $outputs_name AND own.job = $job AND own.asked > 0 AND other.job <> $job AND other.asked > 0
