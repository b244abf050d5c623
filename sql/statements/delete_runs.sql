-- Delete the rows of a job's runs that began before a day and are over.
DELETE FROM $table
WHERE job = $job AND started_at < $before AND status <> 'running'
