-- What becomes of the rows: counted before anything is paid, in one pass: engines repeat a CTE that is used twice.
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
    by_key.request_hash <> by_key.other_hash AS clashes,
    by_key.chars,
    $key_is_null AS key_is_null,
    CASE WHEN answered.request_hash IS NULL THEN by_key.request_hash END AS pending
  FROM by_key
  LEFT JOIN answered ON $same_key$same_request
),
requests AS (
  SELECT
    pending,
    sum(copies) AS copies,
    sum(CASE WHEN key_is_null THEN copies ELSE 0 END) AS null_keys,
    sum(CASE WHEN clashes THEN 1 ELSE 0 END) AS clashing_keys,
    max(chars) AS chars
  FROM marked
  GROUP BY pending
)
SELECT
  coalesce(sum(copies), 0) AS source,
  coalesce(sum(CASE WHEN pending IS NULL THEN copies END), 0) AS answered,
  coalesce(sum(null_keys), 0) AS null_keys,
  coalesce(sum(clashing_keys), 0) AS clashing_keys,
  count(pending) AS pending,
  coalesce(sum(CASE WHEN pending IS NOT NULL THEN chars END), 0) AS input_chars
FROM requests
