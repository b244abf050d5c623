-- What becomes of the rows: counted before anything is paid.
WITH rendered AS (
  $rendered
),
by_key AS (
  SELECT
    key,
    count(*) AS copies,
    min(request_hash) AS request_hash,
    max(request_hash) AS other_hash,
    max(char_length(request)) AS chars
  FROM rendered
  GROUP BY key
),
answered AS (
  $answered
),
marked AS (
  SELECT
    by_key.copies,
    by_key.request_hash,
    by_key.request_hash <> by_key.other_hash AS clashes,
    by_key.chars,
    $key_is_null AS key_is_null,
    answered.request_hash IS NOT NULL AS is_answered
  FROM by_key
  LEFT JOIN answered ON $same_key$same_request
),
asked AS (
  SELECT request_hash, max(chars) AS chars FROM marked WHERE NOT is_answered GROUP BY request_hash
)
SELECT
  coalesce(rows.source, 0) AS source,
  coalesce(rows.answered, 0) AS answered,
  coalesce(rows.null_keys, 0) AS null_keys,
  coalesce(rows.clashing_keys, 0) AS clashing_keys,
  requests.pending,
  coalesce(requests.input_chars, 0) AS input_chars
FROM (
  SELECT
    sum(copies) AS source,
    sum(CASE WHEN is_answered THEN copies ELSE 0 END) AS answered,
    sum(CASE WHEN key_is_null THEN copies ELSE 0 END) AS null_keys,
    sum(CASE WHEN clashes THEN 1 ELSE 0 END) AS clashing_keys
  FROM marked
) AS rows
CROSS JOIN (
  SELECT count(*) AS pending, sum(chars) AS input_chars FROM asked
) AS requests
