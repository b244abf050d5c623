-- One row per span: the call, its attempts, and the agent's own spans. The columns are those of the span tables that
-- Databricks keeps in Unity Catalog (version 2), with attributes as JSON text.
CREATE TABLE IF NOT EXISTS $traces (
  record_id STRING COMMENT 'trace_id and span_id together',
  time TIMESTAMP COMMENT 'When the span started',
  date DATE COMMENT 'The day of the call',
  service_name STRING COMMENT 'rowcall, or what the agent calls itself',
  trace_id STRING COMMENT '32 hex digits',
  span_id STRING COMMENT '16 hex digits',
  trace_state STRING,
  parent_span_id STRING,
  flags INT,
  name STRING COMMENT 'What was done, e.g. invoke_agent review-triage',
  kind STRING COMMENT 'SPAN_KIND_CLIENT for calls, SPAN_KIND_INTERNAL inside the agent',
  start_time_unix_nano BIGINT,
  end_time_unix_nano BIGINT,
  attributes STRING COMMENT 'JSON; gen_ai.* and rowcall.* names',
  dropped_attributes_count INT,
  events ARRAY<STRUCT<time_unix_nano: BIGINT, name: STRING, attributes: STRING, dropped_attributes_count: INT>>,
  dropped_events_count INT,
  links ARRAY<STRUCT<trace_id: STRING, span_id: STRING, trace_state: STRING, attributes: STRING, dropped_attributes_count: INT, flags: INT>>,
  dropped_links_count INT,
  status STRUCT<message: STRING, code: STRING>,
  resource STRUCT<attributes: STRING, dropped_attributes_count: INT>,
  resource_schema_url STRING,
  instrumentation_scope STRUCT<name: STRING, version: STRING, attributes: STRING, dropped_attributes_count: INT>,
  span_schema_url STRING
) USING DELTA
COMMENT 'Spans of every call rowcall made, in the OpenTelemetry layout'
