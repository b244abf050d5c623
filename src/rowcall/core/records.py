"""The values that move through a run. Frozen, small, free of behaviour that needs the outside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum

from rowcall.core.slots import Seconds, summed


class Outcome(StrEnum):
    """How asking one row ended. Only `ok` counts as answered."""

    OK = "ok"
    TRUNCATED = "truncated"
    EMPTY = "empty"
    REFUSED = "refused"
    INVALID = "invalid"
    ERROR = "error"


class ErrorKind(StrEnum):
    """Why a call failed, in the words of what one can do about it."""

    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    UNTRUSTED = "untrusted"
    BAD_REPLY = "bad_reply"
    UNAUTHENTICATED = "unauthenticated"
    PERMISSION_DENIED = "permission_denied"
    NOT_FOUND = "not_found"
    BAD_REQUEST = "bad_request"
    TOO_LARGE = "too_large"
    AGENT_ERROR = "agent_error"
    NULL_PROMPT = "null_prompt"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class CallError:
    """Why a row has no answer. `status` is the HTTP status, `code` the server's own error code, where there was one."""

    kind: ErrorKind
    message: str
    status: int | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the endpoint counted them; None where it did not say."""

    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    total_tokens: int | None = None

    def __add__(self, other: "Usage") -> "Usage":
        pairs = ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return Usage(*(None if one is two is None else (one or 0) + (two or 0) for one, two in pairs))


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP exchange, read: what the endpoint answered, or why it did not.

    `text` is the answer's text (JSON text for a structured answer). `retry_after` is in seconds. `custom_outputs` and
    `trace` are JSON text. `trace_id` is the agent's own MLflow trace id. `running` is the id of a run that goes on in the
    background: there is no answer yet, and asking after that id will bring it.
    """

    outcome: Outcome
    text: str | None = None
    error: CallError | None = None
    usage: Usage = field(default_factory=Usage)
    retry_after: float | None = None
    model: str | None = None
    response_id: str | None = None
    finish_reason: str | None = None
    custom_outputs: str | None = None
    trace_id: str | None = None
    trace: str | None = None
    running: str | None = None


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A POST, or a GET where there is no body. `timeout` is in seconds and covers the whole exchange."""

    url: str
    body: bytes | None
    headers: Mapping[str, str]
    timeout: float


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What came back. Header names are lower case; `first_byte_ns` is the wall clock (Unix, ns) at the status line.

    `arrivals` says of an event stream how much of the body was there when: (bytes so far, Unix ns), in order.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    first_byte_ns: int
    arrivals: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True, slots=True)
class HttpFailure:
    """No usable reply: the connection, the time or the login failed, or there was too much of it. `connected` is False where the
    request never reached a server."""

    kind: ErrorKind
    message: str
    connected: bool = True


@dataclass(frozen=True, slots=True)
class Attempt:
    """One exchange of a call. Times are Unix nanoseconds; `waited` is the time before it since the one before ended, or the call
    began, in seconds, and `waited_for` what most of that went to (`core.slots`).

    Where `ai_query` asked, `wave` is the number of the statement in its run, `statement_id` its id in the query history, and the
    times are the statement's: how long a row took is not told. `first_token_ns` is told of streams only.
    """

    number: int
    started_ns: int
    ended_ns: int
    waited: float = 0.0
    waited_for: str | None = None
    first_byte_ns: int | None = None
    first_token_ns: int | None = None
    status: int | None = None
    error: CallError | None = None
    retry_after: float | None = None
    request_id: str | None = None
    wave: int | None = None
    statement_id: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """Asking one request, retries included: the last reply and the attempts that led to it, as far as they are known."""

    request_hash: str
    reply: Reply
    attempts: tuple[Attempt, ...]
    trace_id: str
    started_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a relation. `type` is the SQL type in lower case but for the names of fields: `string`, `struct<Id:int>`."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is in a folder."""

    files: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Rows of the prompt table by what becomes of them.

    source = duplicates + answered + pending + later. `pending` rows are asked; `duplicates` get the answer of a pending row with
    the same request; `answered` have an `ok` answer to this very request; `later` ones are left to a later run. `input_chars` is
    the text of the pending requests. `clashes` are examples of the clashing keys. `takeover` says which answers of other jobs
    the run replaces.
    """

    source: int = 0
    duplicates: int = 0
    answered: int = 0
    pending: int = 0
    null_keys: int = 0
    clashing_keys: int = 0
    input_chars: int = 0
    later: int = 0
    clashes: tuple[str, ...] = ()
    takeover: str = ""

    def limited(self, limit: int) -> "RowCounts":
        """No more than `limit` of the pending rows, which stand for all of them."""
        asked = min(limit, self.pending)
        chars = self.input_chars * asked // max(self.pending, 1)
        return replace(self, pending=asked, later=self.pending - asked, input_chars=chars)


@dataclass(frozen=True, slots=True)
class Progress:
    """A run so far, summed over its tasks. `waking` calls wait for an endpoint that serves nobody: it starts, or is down.
    `turned_away` calls met a rate limit. `room` is how many calls may be in flight now; `paused` tasks start none because somebody
    said so, `held` ones because a quota of the endpoint's is used up. `seconds` is where the time of the slots went."""

    asked: int = 0
    ok: int = 0
    failed: int = 0
    in_flight: int = 0
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    waking: int = 0
    turned_away: int = 0
    room: int = 0
    paused: int = 0
    held: int = 0
    seconds: Seconds = field(default_factory=dict[str, float])
    stop: str = ""

    def __add__(self, other: "Progress") -> "Progress":
        return Progress(
            asked=self.asked + other.asked,
            ok=self.ok + other.ok,
            failed=self.failed + other.failed,
            in_flight=self.in_flight + other.in_flight,
            retries=self.retries + other.retries,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            waking=self.waking + other.waking,
            turned_away=self.turned_away + other.turned_away,
            room=self.room + other.room,
            paused=self.paused + other.paused,
            held=self.held + other.held,
            seconds=summed(self.seconds, other.seconds),
            stop=self.stop or other.stop,
        )
