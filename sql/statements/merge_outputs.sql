-- Publish staged answers. A better outcome (ok, then truncated, then the rest) replaces a worse one, an equal one only if it
-- is newer; publishing twice changes nothing.
MERGE INTO $outputs AS t
USING (
  SELECT
    $keys_out,
    $answer AS answer,
    outcome,
    error,
    CASE WHEN place = 0 THEN usage END AS usage,
    CASE WHEN place = 0 THEN cost END AS cost,
    latency_ms,
    CASE WHEN place = 0 THEN attempts ELSE 0 END AS attempts,
    custom_outputs,
    trace_id,
    request_hash,
    $run_id AS run_id,
    answered_at
  FROM (
    SELECT
      *,
      row_number() OVER (
        PARTITION BY $key_fields
        ORDER BY $rank, answered_at DESC, trace_id
      ) AS pick
    FROM $staged LATERAL VIEW posexplode(keys) e AS place, key
  ) AS ranked
  WHERE pick = 1
) AS s
ON $same_key
WHEN MATCHED
  AND (
    $staged_rank < $present_rank
    OR ($staged_rank = $present_rank AND s.answered_at > t.answered_at)
  )
  THEN UPDATE SET $update
WHEN NOT MATCHED THEN INSERT $insert
