-- Other jobs that have asked for these outputs, and whether they did since this one first did.
SELECT other.job, coalesce(max(other.started_at) > own.started_at, false) AS in_turn
FROM $runs AS other
CROSS JOIN (
  SELECT min(started_at) AS started_at
  FROM $runs
  WHERE outputs_table = $outputs_name AND job = $job AND asked > 0
) AS own
WHERE other.outputs_table = $outputs_name AND other.job <> $job AND other.asked > 0
GROUP BY other.job, own.started_at
