"""A whole Responses stream, put together to the response it stands for (FACTS 2.1).

MLflow's agent server sends `data:` lines only, ends with `[DONE]`, and reports a failure as `{"error": …}` in
a reply with status 200; OpenAI-compatible servers add `event:` lines and end with `response.completed`, which
carries the whole response. A stream with neither end was cut: what it holds may be half an answer.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rowcall.core.loose import mapping, one_line, parse_json, sequence, text
from rowcall.core.records import CallError, ErrorKind

# Not str.splitlines: JSON texts may hold U+2028 and its like unescaped.
_LINE_END = re.compile(r"\r\n|\n|\r")
_TERMINAL = frozenset({"response.completed", "response.failed", "response.incomplete"})
_DONE = "[DONE]"


def assemble(body: bytes) -> dict[str, object] | CallError:
    """The response a stream stands for, as `responses.read` reads it; or why there is none. Total."""
    stream = _Stream()
    for name, data in _events(body):
        stream.take(name, data)
    if not stream.ended:
        return CallError(ErrorKind.BAD_REPLY, "the stream was cut")
    if stream.broken and "output" not in stream.whole and not stream.error:
        return CallError(ErrorKind.BAD_REPLY, f"an event of the stream is not JSON: {stream.broken}")
    return stream.response()


def _events(body: bytes) -> Iterator[tuple[str, str]]:
    """Name and data of each event; the last one counts even without the empty line that should end it."""
    name, data = "", list[str]()
    for line in (*_LINE_END.split(body.decode("utf-8-sig", "replace")), ""):
        field_name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field_name == "event":
            name = value
        elif field_name == "data":
            data.append(value)
        elif not line:
            if any(data):
                yield name, "\n".join(data)
            name, data = "", []


@dataclass(slots=True)
class _Stream:
    """What the events so far amount to."""

    ended: bool = False
    broken: str = ""
    error: object = None
    whole: Mapping[str, object] = field(default_factory=dict[str, object])
    begun: Mapping[str, object] = field(default_factory=dict[str, object])
    extras: dict[str, object] = field(default_factory=dict[str, object])
    items: list[Mapping[str, object]] = field(default_factory=list[Mapping[str, object]])
    deltas: list[str] = field(default_factory=list[str])

    def take(self, name: str, data: str) -> None:
        if data.strip() == _DONE:
            self.ended = True
            return
        event = parse_json(data)
        if isinstance(event, dict):
            self._take_event(name, mapping(event))
        else:
            self.broken = self.broken or one_line(data, 200)

    def _take_event(self, name: str, event: Mapping[str, object]) -> None:
        kind = text(event.get("type")) or name
        self._take_extras(event)
        failed = event.get("error") or mapping(event.get("databricks_output")).get("error")
        if failed or kind == "error":
            self.error, self.ended = (
                failed or {"message": "the stream reports an error", **event, "type": None},
                True,
            )
        elif kind in _TERMINAL:
            self._end(kind, mapping(event.get("response")))
        elif kind == "response.output_item.done":
            self.items.append(mapping(event.get("item")))
        elif kind == "response.output_text.delta":
            self.deltas.append(text(event.get("delta")) or "")
        elif kind == "response.created":
            self.begun = mapping(event.get("response"))

    def _end(self, kind: str, whole: Mapping[str, object]) -> None:
        self.whole = {**whole, "status": whole.get("status") or kind.removeprefix("response.")}
        self.ended = True

    def _take_extras(self, event: Mapping[str, object]) -> None:
        """What MLflow and Model Serving put beside an event: trace id, trace, the agent's own outputs."""
        if trace_id := event.get("trace_id"):
            self.extras["metadata"] = {"trace_id": trace_id}
        for key in ("custom_outputs", "databricks_output"):
            if event.get(key):
                self.extras[key] = event[key]

    def response(self) -> dict[str, object]:
        """The whole response if the stream brought it, else one made of its items."""
        made = {key: self.begun[key] for key in ("id", "model") if key in self.begun}
        response = {**made, **self.whole}
        if not sequence(response.get("output")):
            response["output"] = self._output()
        metadata = {**mapping(self.extras.get("metadata")), **mapping(response.get("metadata"))}
        given = {key: value for key, value in response.items() if value}
        response = {**response, **self.extras, **given, "metadata": metadata}
        return {**response, "error": self.error} if self.error else response

    def _output(self) -> list[object]:
        """The finished items. Deltas repeat them, so they count only where no message was finished."""
        deltas = "".join(self.deltas)
        if deltas and not any(item.get("type", "message") == "message" for item in self.items):
            message = {"type": "message", "content": [{"type": "output_text", "text": deltas}]}
            return [*self.items, message]
        return list(self.items)
