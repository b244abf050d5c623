-- Other jobs that have asked for these outputs: since this one first did, or, where it never did, at all.
SELECT other.job, own.started_at IS NOT NULL AS in_turn
FROM $runs AS other
CROSS JOIN (
  SELECT min(started_at) AS started_at
  FROM $runs
  WHERE outputs_table = $outputs_name AND job = $job AND asked > 0
) AS own
WHERE
  other.outputs_table = $outputs_name AND other.job <> $job AND other.asked > 0
  AND (own.started_at IS NULL OR other.started_at > own.started_at)
GROUP BY other.job, own.started_at
