SELECT $key AS key, request_hash FROM $outputs AS o WHERE outcome = 'ok'
