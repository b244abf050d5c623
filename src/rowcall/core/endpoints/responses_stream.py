"""A stream of the Responses API, put together to the response it stands for (FACTS 2.1).

MLflow's agent server sends `data:` lines only, ends with `[DONE]`, and reports a failure as `{"error": …}` in
a reply with status 200; OpenAI-compatible servers add `event:` lines and end with `response.completed`, which
carries the whole response. A stream with neither end was cut: what it holds may be half an answer.

Items come finished, messages also in deltas before that. A message whose deltas are all that came is said by them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rowcall.core.endpoints.assembly import Beside, assemble
from rowcall.core.endpoints.content import words
from rowcall.core.endpoints.responses import is_message, read
from rowcall.core.loose import count, mapping, sequence, text
from rowcall.core.records import CallError, Outcome, Reply

_TERMINAL = frozenset({"response.completed", "response.failed", "response.incomplete"})
_DELTA = "response.output_text.delta"
_REFUSAL_DELTA = "response.refusal.delta"
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
    return "".join(words(item.get("content")) for item in map(mapping, items) if is_message(item))


@dataclass(frozen=True, slots=True)
class _Name:
    """What events call an item: its id, its place in the output. Either may be missing."""

    id: str | None
    index: int | None

    def is_of(self, other: "_Name") -> bool:
        """Whether both are names of one item: by their ids, by their places where one has no id."""
        if self.id and other.id:
            return self.id == other.id
        return self.index is not None and self.index == other.index


_Item = tuple[_Name, Mapping[str, object]]


@dataclass(slots=True)
class _Draft:
    """A message as its deltas tell it. `place` is how many items were finished when it began."""

    place: int
    text: list[str] = field(default_factory=list[str])
    refusal: list[str] = field(default_factory=list[str])

    def message(self) -> dict[str, object]:
        content = [{"type": "output_text", "text": "".join(self.text)}]
        content += [{"type": "refusal", "refusal": refusal} for refusal in ["".join(self.refusal)] if refusal]
        return {"type": "message", "content": content}


@dataclass(slots=True)
class _Stream:
    """What the events so far amount to."""

    ended: bool = False
    beside: Beside = field(default_factory=Beside)
    whole: Mapping[str, object] = field(default_factory=dict[str, object])
    begun: Mapping[str, object] = field(default_factory=dict[str, object])
    items: list[_Item] = field(default_factory=list[_Item])
    seen: set[tuple[object, str | None, str]] = field(default_factory=set[tuple[object, str | None, str]])
    drafts: dict[_Name, _Draft] = field(default_factory=dict[_Name, _Draft])

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
            self._finish(mapping(event.get("item")), count(event.get("output_index")))
        elif kind == _DELTA:
            self._draft(event).text.append(text(event.get("delta")) or "")
        elif kind == _REFUSAL_DELTA:
            self._draft(event).refusal.append(text(event.get("delta")) or "")
        elif kind == "response.created":
            self.begun = mapping(event.get("response"))

    def _draft(self, delta: Mapping[str, object]) -> _Draft:
        name = _Name(text(delta.get("item_id")), count(delta.get("output_index")))
        return self.drafts.setdefault(name, _Draft(len(self.items)))

    def _finish(self, item: Mapping[str, object], index: int | None) -> None:
        """Keep an item, unless it came before. Its text tells too, since some agents give one id to all items."""
        name = _Name(text(item.get("id")), index)
        mark = (text(item.get("type")), words(item.get("content")))
        marks = {(key, *mark) for key in (name.id, name.index) if key not in (None, "")}
        if not marks & self.seen:
            self.items.append((name, item))
        self.seen |= marks

    def reply(self) -> dict[str, object]:
        """The whole response if the stream brought it, else one made of its items."""
        made = {key: self.begun[key] for key in ("id", "model") if key in self.begun}
        response = {**made, **self.whole}
        if not sequence(response.get("output")):
            response["output"] = self._output()
        return self.beside.added_to(response)

    def _output(self) -> list[object]:
        """The finished items, and where they began the messages that were not finished."""
        output: list[object] = [item for _, item in self.items]
        for name, draft in reversed(self.drafts.items()):
            if not self._is_finished(name, draft):
                output.insert(draft.place, draft.message())
        return output

    def _is_finished(self, name: _Name, draft: _Draft) -> bool:
        """Whether a finished message is that of a draft, or those after it say the same: some agents send deltas under ids that
        are not their item's. Deltas without any name count only where no message was finished."""
        messages = [other for other, item in self.items if is_message(item)]
        if not name.id and name.index is None:
            return bool(messages)
        later = "".join(words(item.get("content")) for _, item in self.items[draft.place :] if is_message(item))
        told = bool(later) and "".join([*draft.text, *draft.refusal]).strip() in later
        return told or any(map(name.is_of, messages))
