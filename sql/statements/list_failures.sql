-- The rows of a run that have no ok answer.
SELECT * FROM $outputs
WHERE run_id = :run_id AND outcome <> 'ok'
LIMIT $limit
