SELECT * FROM (
$query
)
WHERE true AND $where
