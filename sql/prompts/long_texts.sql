-- The texts of the demo that are worth a summary.
SELECT text_id, source, name, text, char_length(text) AS length
FROM ${catalog}.demo.texts
WHERE char_length(text) >= 400
