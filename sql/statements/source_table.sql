SELECT * FROM $table
WHERE true AND $where
