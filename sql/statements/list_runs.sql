-- Runs, newest first.
SELECT * FROM $runs
WHERE job LIKE :job AND run_id LIKE :run_id
ORDER BY started_at DESC, run_id DESC
LIMIT $limit
