-- Runs, newest first.
SELECT * FROM $runs
WHERE (:job = '' OR job = :job) AND substr(run_id, 1, char_length(:run_id)) = :run_id
ORDER BY started_at DESC, run_id DESC
LIMIT $limit
