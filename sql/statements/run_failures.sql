-- The rows that a run left without an ok answer.
SELECT * FROM $outputs
WHERE run_id = $run_id AND outcome <> 'ok'
