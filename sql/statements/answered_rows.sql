-- The rows that rowcall.ask was given, each with its answer; NULLs where it has none to what it asks now.
SELECT
  $shown,
  $answers
FROM ($rows) AS r
LEFT JOIN (
  SELECT key, max(request_hash) AS request_hash
  FROM (
    $rendered
  )
  GROUP BY key
) AS asked
  ON $asked_key
LEFT JOIN $outputs AS o
  ON $same_key$same_request
