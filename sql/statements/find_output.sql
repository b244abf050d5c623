-- The outputs of a key, or of a trace: rows with the same request share theirs.
SELECT * FROM $outputs
WHERE $condition
LIMIT 1
