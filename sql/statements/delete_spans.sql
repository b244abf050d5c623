-- Delete the spans of a job's calls before a day. Not every Delta takes a subquery in a DELETE; all take this.
MERGE INTO $table AS t
USING (
  SELECT DISTINCT trace_id
  FROM $table
  WHERE date < $before AND parent_span_id IS NULL AND get_json_object(attributes, "$$['rowcall.job']") = $job
) AS s
ON t.trace_id = s.trace_id AND t.date < $before
WHEN MATCHED THEN DELETE
