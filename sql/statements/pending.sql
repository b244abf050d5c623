-- The rows still to be asked, one per distinct request, with every key that wants its answer.
CREATE TABLE $pending USING DELTA$mapping
AS
SELECT
  rendered.request_hash,
  min(rendered.request) AS request,
  collect_list(rendered.key) AS keys$files_once$place
FROM (
  SELECT request_hash, key, min(request) AS request$files_once
  FROM (
    $rendered
  )
  WHERE $keys_there
  GROUP BY request_hash, key
) AS rendered
LEFT ANTI JOIN (
  $answered
) AS answered
  ON $same_key$same_request
GROUP BY rendered.request_hash$limited
