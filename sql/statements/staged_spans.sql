-- The spans of the staged view, for a collector.
SELECT
  span.trace_id AS trace_id,
  span.span_id AS span_id,
  span.parent_span_id AS parent_span_id,
  span.name AS name,
  span.kind AS kind,
  span.start_time_unix_nano AS start_time_unix_nano,
  span.end_time_unix_nano AS end_time_unix_nano,
  span.attributes AS attributes,
  span.events AS events,
  span.status AS status
FROM $staged LATERAL VIEW explode(spans) e AS span
