"""A stream of the Responses API, put together to the response it stands for (FACTS 2.1).

MLflow's agent server sends `data:` lines only, ends with `[DONE]`, and reports a failure as `{"error": …}` in
a reply with status 200; OpenAI-compatible servers add `event:` lines and end with `response.completed`, which
carries the whole response. A stream with neither end was cut: what it holds may be half an answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rowcall.core.endpoints.assembly import Beside, assemble
from rowcall.core.endpoints.content import words
from rowcall.core.endpoints.responses import read
from rowcall.core.loose import mapping, sequence, text
from rowcall.core.records import CallError, Outcome, Reply

_TERMINAL = frozenset({"response.completed", "response.failed", "response.incomplete"})
_DELTA = "response.output_text.delta"
_ITEM = "response.output_item.done"


def read_stream(body: bytes) -> Reply:
    """What a whole stream says. Total."""
    response = assemble(body, _Stream())
    return Reply(Outcome.ERROR, error=response) if isinstance(response, CallError) else read(response, body)


def piece(name: str, event: Mapping[str, object]) -> str:
    """The piece of the answer's text that an event brings."""
    kind = text(event.get("type")) or name
    if kind == _DELTA:
        return text(event.get("delta")) or ""
    items = [event.get("item")] if kind == _ITEM else sequence(mapping(event.get("response")).get("output"))
    return "".join(words(item.get("content")) for item in map(mapping, items) if _is_message(item))


def _is_message(item: Mapping[str, object]) -> bool:
    return item.get("type", "message") == "message"


@dataclass(slots=True)
class _Stream:
    """What the events so far amount to."""

    ended: bool = False
    beside: Beside = field(default_factory=Beside)
    whole: Mapping[str, object] = field(default_factory=dict[str, object])
    begun: Mapping[str, object] = field(default_factory=dict[str, object])
    items: list[Mapping[str, object]] = field(default_factory=list[Mapping[str, object]])
    deltas: list[str] = field(default_factory=list[str])
    refusals: list[str] = field(default_factory=list[str])

    @property
    def complete(self) -> bool:
        return "output" in self.whole

    def take(self, name: str, event: Mapping[str, object]) -> None:
        kind = text(event.get("type")) or name
        if kind in _TERMINAL:
            whole = mapping(event.get("response"))
            self.whole = {**whole, "status": whole.get("status") or kind.removeprefix("response.")}
            self.ended = True
        elif kind == _ITEM:
            self.items.append(mapping(event.get("item")))
        elif kind == _DELTA:
            self.deltas.append(text(event.get("delta")) or "")
        elif kind == "response.refusal.delta":
            self.refusals.append(text(event.get("delta")) or "")
        elif kind == "response.created":
            self.begun = mapping(event.get("response"))

    def reply(self) -> dict[str, object]:
        """The whole response if the stream brought it, else one made of its items."""
        made = {key: self.begun[key] for key in ("id", "model") if key in self.begun}
        response = {**made, **self.whole}
        if not sequence(response.get("output")):
            response["output"] = self._output()
        return self.beside.added_to(response)

    def _output(self) -> list[object]:
        """The finished items. Deltas repeat them, so they count only where no message was finished."""
        deltas, refusal = "".join(self.deltas), "".join(self.refusals)
        content = [{"type": "output_text", "text": deltas}] if deltas else []
        content += [{"type": "refusal", "refusal": refusal}] if refusal else []
        if content and not any(map(_is_message, self.items)):
            return [*self.items, {"type": "message", "content": content}]
        return list(self.items)
