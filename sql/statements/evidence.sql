-- What earlier answers to the requests as they are now took, against the characters of a request: the sums that a line needs.
SELECT
  measured.name AS name,
  count(*) AS answers,
  sum(measured.x) AS x,
  sum(measured.y) AS y,
  sum(measured.x * measured.x) AS xx,
  sum(measured.x * measured.y) AS xy,
  sum(measured.y * measured.y) AS yy,
  max(measured.y) AS most
FROM (
  SELECT explode(array(
    named_struct('name', 'input_tokens', 'x', asked.x, 'y', CAST(o.usage.input_tokens AS DOUBLE)),
    named_struct('name', 'output_tokens', 'x', asked.x, 'y', CAST(o.usage.output_tokens AS DOUBLE)),
    named_struct('name', 'cost', 'x', asked.x, 'y', $cost),
    named_struct('name', 'seconds', 'x', asked.x, 'y', o.latency_ms / 1000.0D)
  )) AS measured
  FROM (
    SELECT key, max(request_hash) AS request_hash, CAST(max(char_length(request)) AS DOUBLE) AS x
    FROM (
      $rendered
    )
    GROUP BY key
  ) AS asked
  JOIN $outputs AS o
    ON $same_key AND o.request_hash = asked.request_hash
  WHERE o.attempts > 0
)
WHERE measured.y IS NOT NULL
GROUP BY measured.name
