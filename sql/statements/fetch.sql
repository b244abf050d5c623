SELECT request_hash, request, keys FROM $pending
