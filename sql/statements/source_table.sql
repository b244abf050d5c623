SELECT *$more FROM $table
WHERE true AND $where
