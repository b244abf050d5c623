-- The last run of a job that a Databricks job run has started, and how it ended.
SELECT run_id, status, message
FROM $runs
WHERE job = :job
  AND context['job_run'] = :job_run
  AND coalesce(context['endpoint'], '') = :endpoint
ORDER BY started_at DESC
LIMIT 1
