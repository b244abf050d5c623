-- The attempts of those calls, as a part of other statements.
SELECT
    spans.start_time_unix_nano AS started,
    spans.end_time_unix_nano AS ended,
    get_json_object(spans.attributes, "$$['error.type']") AS kind,
    try_cast(get_json_object(spans.attributes, "$$['http.response.status_code']") AS INT) AS http_status,
    try_cast(get_json_object(spans.attributes, "$$['rowcall.wave']") AS INT) AS wave,
    get_json_object(spans.attributes, "$$['rowcall.statement_id']") AS statement_id,
    spans.status.message AS message
  FROM $traces AS spans
  JOIN calls
    ON spans.trace_id = calls.trace_id AND spans.parent_span_id = calls.span_id
  WHERE spans.date BETWEEN CAST(:since AS DATE) AND CAST(:until AS DATE)
