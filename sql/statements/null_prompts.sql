-- The rows that are not asked.
SELECT request_hash, request, keys FROM $pending WHERE request IS NULL
