-- The folders of long texts that spans name, of the days from one on.
SELECT DISTINCT get_json_object(attributes, "$$['rowcall.overflow']") AS place
FROM $traces
WHERE date >= $since AND attributes LIKE '%rowcall.overflow%'
