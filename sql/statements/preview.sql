-- The first rows of the prompt table with their requests.
SELECT key, request FROM (
  $rendered
)
ORDER BY $order
LIMIT $limit
