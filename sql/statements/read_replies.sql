-- What was returned, with the keys that want it: the last reply to each request, and how often it was asked.
SELECT
  pending.request_hash,
  pending.request,
  pending.keys,
  replies.wave,
  replies.asked_at,
  tries.tries,
  $answer AS answer,
  $error AS error
FROM $replies AS replies
JOIN (
  SELECT request_hash, max(wave) AS wave, CAST(count(*) AS INT) AS tries
  FROM $replies
  GROUP BY request_hash
) AS tries
  ON replies.request_hash = tries.request_hash AND replies.wave = tries.wave
JOIN $pending AS pending
  ON pending.request_hash = replies.request_hash
WHERE replies.wave >= $since
