SELECT key, request_hash FROM ($rendered) WHERE false
