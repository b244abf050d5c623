-- One row per key: the best answer so far.
CREATE TABLE IF NOT EXISTS $outputs (
  $key_definitions,
  answer $answer_type COMMENT 'What the endpoint answered; NULL unless the outcome is ok or truncated',
  outcome STRING COMMENT 'ok, truncated, empty, refused, invalid or error; only ok counts as answered',
  error STRUCT<kind: STRING, status: INT, code: STRING, message: STRING> COMMENT 'Why there is no answer',
  usage STRUCT<input_tokens: BIGINT, cached_tokens: BIGINT, output_tokens: BIGINT, reasoning_tokens: BIGINT, total_tokens: BIGINT> COMMENT 'Tokens as the endpoint counted them, on the row that was asked',
  cost DOUBLE COMMENT 'Tokens times endpoint.price, on the row that was asked',
  latency_ms BIGINT COMMENT 'From the first attempt to the last reply, waits included; NULL where ai_query asked',
  attempts INT COMMENT 'How often it was asked; 0 where an identical request was asked for another key',
  custom_outputs STRING COMMENT 'What the agent returned beside the answer, as JSON',
  trace_id STRING COMMENT 'Finds the spans in the traces table',
  request_hash STRING COMMENT 'Stands for the endpoint and the request; another hash means the row is asked again',
  run_id STRING COMMENT 'The run that answered',
  answered_at TIMESTAMP COMMENT 'When the last reply came'
) USING DELTA
COMMENT $comment$mapping
