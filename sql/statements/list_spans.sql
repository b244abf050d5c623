-- The spans of one trace.
SELECT trace_id, span_id, parent_span_id, name, kind, start_time_unix_nano, end_time_unix_nano, attributes, events, status
FROM $traces
WHERE trace_id = :trace_id
ORDER BY start_time_unix_nano, span_id
