"""Custom models on Model Serving: rows in, `predictions` out (FACTS 2.2). One row is asked with one call.

records  {"dataframe_records": [{name: value}]}
inputs   {"inputs": {name: [value]}}, or {"inputs": [text]} where the request has messages
"""

from collections.abc import Mapping, Sequence

from rowcall.core.endpoints.content import words
from rowcall.core.endpoints.embedded import read_value
from rowcall.core.endpoints.envelope import about, error_of, unreadable
from rowcall.core.endpoints.messages import RequestError
from rowcall.core.loose import mapping, sequence
from rowcall.core.records import Outcome, Reply


def build_records(request: Mapping[str, object]) -> dict[str, object]:
    """The body with the row as a record. Raises `RequestError` for a request without inputs."""
    if not request.get("inputs"):
        raise RequestError("inputs: expected at least one, since records have named columns")
    return {"dataframe_records": [request["inputs"]], **_params(request)}


def build_inputs(request: Mapping[str, object]) -> dict[str, object]:
    """The body with a list of one for each input, or with the text of the user's last message. Raises `RequestError`."""
    inputs = mapping(request.get("inputs"))
    if inputs:
        return {"inputs": {name: [value] for name, value in inputs.items()}, **_params(request)}
    return {"inputs": [_last_text(sequence(request.get("messages")))], **_params(request)}


def _params(request: Mapping[str, object]) -> dict[str, object]:
    parameters = request.get("parameters")
    return {"params": parameters} if parameters else {}


def _last_text(messages: Sequence[object]) -> str:
    said = [words(message.get("content")) for message in map(mapping, messages) if message.get("role") == "user"]
    if not said:
        raise RequestError("messages: expected one with the role user: its text is what a model is asked with")
    return said[-1]


def read(payload: object, body: bytes) -> Reply:
    """What a parsed reply says. Total. `body` are its bytes, for an excerpt where it says nothing."""
    if not isinstance(payload, dict):
        return unreadable("the reply is not a JSON object", body)
    reply = mapping(payload)
    if error := error_of(reply):
        return about(reply, Outcome.ERROR, error=error)
    if "predictions" not in reply:
        return unreadable("the reply has no predictions", body)
    predictions = reply["predictions"]
    one = sequence(predictions)
    return read_value(one[0] if len(one) == 1 else predictions)
