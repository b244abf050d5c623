-- The calls of a run, as a part of other statements.
SELECT
    trace_id,
    span_id,
    start_time_unix_nano AS started,
    end_time_unix_nano AS ended,
    get_json_object(attributes, "$$['rowcall.outcome']") AS outcome,
    get_json_object(attributes, "$$['error.type']") AS kind,
    status.message AS message
  FROM $traces
  WHERE date BETWEEN CAST(:since AS DATE) AND CAST(:until AS DATE)
    AND parent_span_id IS NULL
    AND get_json_object(attributes, "$$['rowcall.run_id']") = :run_id
