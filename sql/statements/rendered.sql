-- Every row of the prompt table: its key, its request as JSON text, and the hash that stands for endpoint and request.
SELECT
  key,
  request,
  sha2(concat($fingerprint, coalesce(request, '')$files_hash), 256) AS request_hash$files_out
FROM (
  SELECT
    $key AS key,
    $request AS request$files_in
  FROM ($source) AS p
  WHERE $wanted
)
