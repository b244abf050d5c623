-- The rows to ask of one part of the run, drawn by their hash: the same rows for whoever asks for that part.
SELECT request_hash, request, keys
FROM $pending
WHERE pmod(crc32(request_hash), $parts) = $part
