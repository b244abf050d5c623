-- How long calls took, waits included, by job and endpoint: of the last 90 days, as the traces say. Calls of ai_query are left out:
-- of them only the time of the statement is known.
CREATE OR REPLACE VIEW $view AS
SELECT
  calls.date AS day,
  runs.job,
  runs.endpoint,
  count(*) AS calls,
  percentile_approx(calls.took_ms, 0.5) AS p50_ms,
  percentile_approx(calls.took_ms, 0.9) AS p90_ms,
  percentile_approx(calls.took_ms, 0.99) AS p99_ms,
  max(calls.took_ms) AS slowest_ms
FROM (
  SELECT
    date,
    get_json_object(attributes, "$$['rowcall.run_id']") AS run_id,
    CAST(end_time_unix_nano - start_time_unix_nano AS DOUBLE) / 1e6 AS took_ms
  FROM $traces
  WHERE service_name = 'rowcall' AND parent_span_id IS NULL AND date >= date_sub(current_date(), 90)
) AS calls
JOIN $runs AS runs
  ON runs.run_id = calls.run_id AND runs.engine <> 'ai_query'
GROUP BY calls.date, runs.job, runs.endpoint
