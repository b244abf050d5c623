SELECT * FROM (
$query
)
WHERE $where
