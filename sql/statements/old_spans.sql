-- Spans of a job's calls before a day. The call is the root of its trace and names the job.
SELECT count(*) AS n
FROM $table
WHERE date < $before AND trace_id IN (
  SELECT trace_id
  FROM $table
  WHERE date < $before AND parent_span_id IS NULL AND get_json_object(attributes, "$$['rowcall.job']") = $job
)
