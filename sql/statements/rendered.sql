-- Every row of the prompt table: its key, its request as JSON text, and the hash that stands for endpoint and request.
SELECT
  key,
  request,
  sha2(concat($fingerprint, coalesce(request, '')), 256) AS request_hash
FROM (
  SELECT
    $key AS key,
    $request AS request
  FROM ($source) AS p
  WHERE $wanted
)
