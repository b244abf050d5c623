-- On Databricks: where answers are durable before they are published.
CREATE VOLUME IF NOT EXISTS $volume
COMMENT 'Journals of rowcall runs: answers not yet in the outputs table'
