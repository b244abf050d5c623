"""Custom models, as MLflow's scoring server speaks for them: rows read, predictions written (FACTS 2.2).

    {"dataframe_records": [{"text": …}]}    {"dataframe_split": {"columns": ["text"], "data": [[…]]}}
    {"inputs": [… | {"text": …}]}           {"inputs": {"text": […]}}           {"instances": […]}

Of these four keys a body has exactly one. The signature of the models here is one column of texts.
"""

from collections.abc import Mapping, Sequence

from rowcall.core.loose import mapping, parse_json, sequence
from rowcall.sandbox.agents.wire import Answer, Json, Question, RequestError

COLUMN = "text"
_FORMATS = ("dataframe_split", "instances", "dataframe_records", "inputs")


def read_rows(body: object) -> Question:
    """Read a parsed body; raises `RequestError` where it holds no rows, or rows without the column."""
    whole = mapping(body)
    given = [key for key in _FORMATS if key in whole]
    if not isinstance(body, dict) or len(given) != 1:
        raise RequestError(
            "The input must be a JSON dictionary with exactly one of the input fields "
            f"{', '.join(_FORMATS)}. Received dictionary with input fields: {', '.join(whole) or 'none'}"
        )
    key = given[0]
    rows = tuple(_text(row) for row in _read(key, whole[key]))
    if not rows:
        raise _no_column("no rows")
    # `stream` is for chats: nothing but the rows and their `params` means anything here.
    return Question(rows[0], {key: whole[key]}, {key: whole[key]}, rows=rows)


def _read(key: str, value: object) -> Sequence[object]:
    """The rows: objects, or texts where the format has no names."""
    if key == "dataframe_split":
        return _read_split(mapping(value))
    if key == "inputs" and isinstance(value, dict):
        return _read_columns(mapping(value))
    if not isinstance(value, list):
        raise RequestError(f"Failed to parse input: {key} must be a list, not {type(value).__name__}")
    rows = sequence(value)
    if key == "dataframe_records" and not all(isinstance(row, dict) for row in rows):
        raise RequestError("Failed to parse input: dataframe_records must be a list of records")
    return rows


def _read_split(split: Mapping[str, object]) -> Sequence[object]:
    columns, data = split.get("columns"), split.get("data")
    lists = isinstance(columns, list) and isinstance(data, list)
    rows = [sequence(row) for row in sequence(data)]
    if not lists or any(len(row) != len(sequence(columns)) for row in rows):
        raise RequestError("Provided dataframe_split field is not a valid dataframe representation in 'split' format")
    names = [str(name) for name in sequence(columns)]
    return [dict(zip(names, row, strict=True)) for row in rows]


def _read_columns(columns: Mapping[str, object]) -> Sequence[object]:
    if not isinstance(columns.get(COLUMN), list):
        raise _no_column(f"columns {', '.join(columns) or 'none'}")
    return sequence(columns[COLUMN])


def _text(row: object) -> str:
    if isinstance(row, dict):
        if COLUMN not in row:
            raise _no_column(f"columns {', '.join(mapping(row)) or 'none'}")
        row = mapping(row)[COLUMN]
    if not isinstance(row, str):
        raise RequestError(
            f"Failed to enforce schema. Error: Incompatible input types for column {COLUMN}. "
            f"Can not safely convert {type(row).__name__} to str."
        )
    return row


def _no_column(received: str) -> RequestError:
    return RequestError(
        f"Failed to enforce schema of data ({received}) with schema '['{COLUMN}': string (required)]'. "
        f"Error: Model is missing inputs ['{COLUMN}']."
    )


def make_predictions(_: str, question: Question, answer: Answer) -> Json:
    """One prediction a row; of an answer that has none of its own, its text for every row, as JSON if it is JSON."""
    if answer.predictions is not None:
        return {"predictions": list(answer.predictions)}
    parsed = parse_json(answer.text)
    return {"predictions": [answer.text if parsed is None else parsed] * len(question.rows)}
