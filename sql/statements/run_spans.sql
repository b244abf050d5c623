-- Every span of a run: its calls, their attempts, what the agents traced.
SELECT spans.*
FROM $traces AS spans
LEFT SEMI JOIN (
  SELECT trace_id
  FROM $traces
  WHERE date >= DATE $since AND parent_span_id IS NULL AND get_json_object(attributes, "$$['rowcall.run_id']") = $run_id
) AS calls
  ON spans.trace_id = calls.trace_id
WHERE spans.date >= DATE $since
