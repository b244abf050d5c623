-- The keys of some traces.
SELECT trace_id, to_json(struct($keys)) AS key
FROM $outputs
WHERE run_id = :run_id AND array_contains(split(:trace_ids, ','), trace_id)
LIMIT 200
