-- Publish staged spans. Insert only: publishing twice changes nothing.
MERGE INTO $traces AS t
USING (
  SELECT
    concat(span.trace_id, span.span_id) AS record_id,
    timestamp_micros(span.start_time_unix_nano DIV 1000) AS time,
    called_on AS date,
    'rowcall' AS service_name,
    span.trace_id AS trace_id,
    span.span_id AS span_id,
    CAST(NULL AS STRING) AS trace_state,
    span.parent_span_id AS parent_span_id,
    1 AS flags,
    span.name AS name,
    span.kind AS kind,
    span.start_time_unix_nano AS start_time_unix_nano,
    span.end_time_unix_nano AS end_time_unix_nano,
    span.attributes AS attributes,
    0 AS dropped_attributes_count,
    span.events AS events,
    0 AS dropped_events_count,
    CAST(NULL AS ARRAY<STRUCT<trace_id: STRING, span_id: STRING, trace_state: STRING, attributes: STRING, dropped_attributes_count: INT, flags: INT>>) AS links,
    0 AS dropped_links_count,
    span.status AS status,
    named_struct('attributes', $resource, 'dropped_attributes_count', 0) AS resource,
    CAST(NULL AS STRING) AS resource_schema_url,
    named_struct('name', 'rowcall', 'version', $version, 'attributes', CAST(NULL AS STRING), 'dropped_attributes_count', 0) AS instrumentation_scope,
    CAST(NULL AS STRING) AS span_schema_url
  FROM (
    SELECT span, CAST(answered_at AS DATE) AS called_on, row_number() OVER (PARTITION BY span.trace_id, span.span_id ORDER BY span.end_time_unix_nano DESC) AS pick
    FROM $staged LATERAL VIEW explode(spans) e AS span
  ) AS spans
  WHERE pick = 1
) AS s
ON t.record_id = s.record_id AND t.date >= $since
WHEN NOT MATCHED THEN INSERT *
