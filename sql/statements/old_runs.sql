-- Rows of a job's runs that began before a day and are over.
SELECT count(*) AS n
FROM $table
WHERE job = $job AND started_at < $before AND status <> 'running'
