-- The type of the call, learned by analysing it: nothing is asked.
SELECT $call AS reply
FROM (
  SELECT from_json(CAST(NULL AS STRING), $parsed) AS r$files
)
