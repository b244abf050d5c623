"""A stream of a chat, put together to the reply it stands for (FACTS 2.2).

Chat completions come in chunks whose `choices[0].delta` holds the next piece, a ChatAgent's messages in pieces
`{"delta": {role, content, id}}` that belong together by id. The end is `[DONE]`, or a finish reason with
nothing said after it: of an agent that speaks several times each message may have one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rowcall.core.endpoints.assembly import Beside, assemble
from rowcall.core.endpoints.chat import read
from rowcall.core.endpoints.content import speaker, words
from rowcall.core.loose import mapping, sequence, text
from rowcall.core.records import CallError, Outcome, Reply


def read_stream(body: bytes) -> Reply:
    """What a whole stream says. Total."""
    reply = assemble(body, _Stream())
    return Reply(Outcome.ERROR, error=reply) if isinstance(reply, CallError) else read(reply, body)


def piece(_: str, event: Mapping[str, object]) -> str:
    """The piece of the answer's text that an event brings."""
    said = mapping(event.get("delta"))
    spoken = words(said.get("content")) if speaker(said) == "assistant" else ""
    return words(mapping(_first(event).get("delta")).get("content")) + spoken


def _first(chunk: Mapping[str, object]) -> Mapping[str, object]:
    """The chunk's piece of the first choice; a chunk may bring another one's, or usage and no choice."""
    choices = map(mapping, sequence(chunk.get("choices")))
    return next((choice for choice in choices if not choice.get("index")), {})


@dataclass(slots=True)
class _Message:
    """One message of a ChatAgent, or the one of the first choice."""

    role: str
    content: list[str] = field(default_factory=list[str])
    refusal: list[str] = field(default_factory=list[str])

    def take(self, delta: Mapping[str, object]) -> bool:
        """Add a piece; whether it said anything."""
        self.role = text(delta.get("role")) or self.role
        content, refusal = words(delta.get("content")), text(delta.get("refusal")) or ""
        self.content.append(content)
        self.refusal.append(refusal)
        return bool(content or refusal)

    def whole(self) -> dict[str, object]:
        return {"role": self.role, "content": "".join(self.content), "refusal": "".join(self.refusal)}


@dataclass(slots=True)
class _Stream:
    """What the chunks so far amount to."""

    ended: bool = False
    beside: Beside = field(default_factory=Beside)
    head: dict[str, object] = field(default_factory=dict[str, object])
    choice: _Message | None = None
    messages: dict[str, _Message] = field(default_factory=dict[str, _Message])

    @property
    def complete(self) -> bool:
        return False

    def take(self, _: str, event: Mapping[str, object]) -> None:
        for key in ("id", "model", "usage"):
            if event.get(key):
                self.head[key] = event[key]
        choice = _first(event)
        if isinstance(event.get("choices"), list):
            self.choice = self.choice or _Message("assistant")
            self._take(self.choice, mapping(choice.get("delta")), choice.get("finish_reason"))
        if isinstance(event.get("delta"), dict):
            delta = mapping(event.get("delta"))
            message = self.messages.setdefault(text(delta.get("id")) or "", _Message("assistant"))
            self._take(message, delta, event.get("finish_reason"))

    def _take(self, message: _Message, delta: Mapping[str, object], finish: object) -> None:
        said = message.take(delta)
        reason = text(finish)
        if reason:
            self.head["finish_reason"] = reason
        self.ended = bool(reason) if said else self.ended or bool(reason)

    def reply(self) -> dict[str, object]:
        """The chat completion, or the ChatAgent's reply, that the chunks are pieces of."""
        reply = dict(self.head)
        if self.choice is not None:
            reply["choices"] = [{"message": self.choice.whole()}]
        if self.messages:
            reply["messages"] = [message.whole() for message in self.messages.values()]
        return self.beside.added_to(reply)
