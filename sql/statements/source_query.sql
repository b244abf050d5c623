SELECT *$more FROM (
$query
)
WHERE true AND $where
