-- Ask the next pending requests. The call stands once, and what it returns is stored as it came. $note
$target
SELECT
  $wave AS wave,
  current_timestamp() AS asked_at,
  request_hash,
  $call AS reply
FROM (
  SELECT pending.request_hash, from_json(pending.request, $parsed) AS r$files
  FROM $pending AS pending
  $unsettled
  LIMIT $rows
)
