-- The first requests that would be sent.
SELECT key, request FROM (
  $rendered
)
ORDER BY $order
LIMIT $limit
