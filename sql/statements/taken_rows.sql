-- Rows that have an answer from another job, to another request.
SELECT runs.job, count(*) AS taken
FROM (
  $rendered
) AS rendered
JOIN $outputs AS o
  ON $same_key AND o.request_hash <> rendered.request_hash
JOIN $runs AS runs
  ON runs.run_id = o.run_id
WHERE o.outcome = 'ok' AND runs.job <> $job
GROUP BY runs.job
ORDER BY taken DESC, runs.job
