"""From the events of a stream to the one reply it stands for: what streams of all shapes have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from rowcall.core.endpoints.envelope import error_in
from rowcall.core.endpoints.sse import events
from rowcall.core.loose import mapping, one_line, parse_json, text
from rowcall.core.records import CallError, ErrorKind

_DONE = "[DONE]"


@dataclass(slots=True)
class Beside:
    """What MLflow and Model Serving put beside an event: an error, a trace id, a trace, the agent's own outputs."""

    error: object = None
    extras: dict[str, object] = field(default_factory=dict[str, object])

    def take(self, name: str, event: Mapping[str, object]) -> None:
        if trace_id := event.get("trace_id"):
            self.extras["metadata"] = {"trace_id": trace_id}
        for key in ("custom_outputs", "databricks_output"):
            if event.get(key):
                self.extras[key] = event[key]
        failed = error_in(event)
        if failed or (text(event.get("type")) or name) == "error":
            self.error = failed or {"message": "the stream reports an error", **event, "type": None}

    def added_to(self, reply: Mapping[str, object]) -> dict[str, object]:
        """The reply with all this; what it says itself goes first, but for an error."""
        metadata = {**mapping(self.extras.get("metadata")), **mapping(reply.get("metadata"))}
        given = {key: value for key, value in reply.items() if value}
        whole = {**reply, **self.extras, **given, "metadata": metadata}
        return {**whole, "error": self.error} if self.error else whole


class Stream(Protocol):
    """What the events so far amount to, in one shape. `complete` says that the whole reply came, whatever else did not."""

    ended: bool
    beside: Beside

    @property
    def complete(self) -> bool: ...
    def take(self, name: str, event: Mapping[str, object], /) -> None: ...
    def reply(self) -> dict[str, object]: ...


def assemble(body: bytes, stream: Stream) -> dict[str, object] | CallError:
    """The reply that a whole stream stands for, as the `read` of its shape reads it; or why there is none. Total."""
    broken = ""
    for event in events(body):
        if event.data.strip() == _DONE:
            stream.ended = True
            break
        payload = parse_json(event.data)
        if isinstance(payload, dict):
            stream.beside.take(event.name, mapping(payload))
            stream.take(event.name, mapping(payload))
        elif not stream.ended:
            broken = broken or one_line(event.data, 200)
    if stream.beside.error:
        return stream.reply()
    if not stream.ended:
        return CallError(ErrorKind.BAD_REPLY, "the stream was cut")
    if broken and not stream.complete:
        return CallError(ErrorKind.BAD_REPLY, f"an event of the stream is not JSON: {broken}")
    return stream.reply()
