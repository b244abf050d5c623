-- The best of the staged answers of each key: ok, then truncated, then the rest; of equals the newest.
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
