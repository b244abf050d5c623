-- A few of the keys that stand for different requests.
SELECT key FROM (
  SELECT key
  FROM (
    $rendered
  )
  GROUP BY key
  HAVING min(request_hash) <> max(request_hash)
)
ORDER BY $order
LIMIT 3
