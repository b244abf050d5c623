"""What one exchange means: recorded errors (tests/golden/replies), the tables, and anything at all."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcall.core.answer import parse_answer_schema
from rowcall.core.endpoints import Wire
from rowcall.core.outcome import never_retry, read_reply, request_id_of, retryable, stops_run
from rowcall.core.records import CallError, ErrorKind, HttpFailure, HttpReply, Outcome, Reply

REPLIES = Path(__file__).parents[2] / "golden" / "replies"
WIRE = Wire("responses", None)
SCORED = Wire("responses", None, answer=parse_answer_schema({"score": "double"}))
NOON_NS = 1_767_268_800_000_000_000  # 2026-01-01T12:00:00Z


def read(status: int, body: object = b"", wire: Wire = WIRE, **headers: str) -> Reply:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_reply(HttpReply(status, named, data, 0), wire, NOON_NS)


def kind_of(reply: Reply) -> ErrorKind:
    assert reply.outcome is Outcome.ERROR
    assert reply.error is not None
    return reply.error.kind


@pytest.mark.parametrize(
    ("name", "status", "error"),
    [
        (
            "error_platform_400_limit.json",
            400,
            CallError(
                ErrorKind.RATE_LIMITED,
                "REQUEST_LIMIT_EXCEEDED: Exceeded workspace input tokens per minute rate limit for m.",
                400,
                "REQUEST_LIMIT_EXCEEDED",
            ),
        ),
        (
            "error_fmapi_429.json",
            429,
            CallError(ErrorKind.RATE_LIMITED, "Rate limit exceeded", 429, "rate_limit_exceeded"),
        ),
        ("error_fastapi_500.json", 500, CallError(ErrorKind.SERVER_ERROR, "KeyError: 'order'", 500)),
        (
            "error_fastapi_422.json",
            422,
            CallError(
                ErrorKind.BAD_REQUEST,
                "body.input: Field required; body.messages.0: Input should be a valid list",
                422,
            ),
        ),
        (
            "error_external_429.json",
            400,
            CallError(ErrorKind.RATE_LIMITED, "Too many tokens", 400, "rate_limit_exceeded"),
        ),
        (
            "error_model_retired_403.json",
            403,
            CallError(
                ErrorKind.PERMISSION_DENIED,
                "PERMISSION_DENIED: 'databricks-claude-sonnet-4' is no longer available. "
                "Use Unity Catalog model services.",
                403,
                "PERMISSION_DENIED",
            ),
        ),
        (
            "error_llama_404.json",
            404,
            CallError(ErrorKind.NOT_FOUND, "File Not Found", 404, "not_found_error"),
        ),
        ("error_502.html", 502, CallError(ErrorKind.UNAVAILABLE, "502 Bad Gateway nginx", 502)),
    ],
)
def test_recorded_errors(name: str, status: int, error: CallError) -> None:
    reply = read(status, (REPLIES / name).read_bytes())
    assert (reply.outcome, reply.error) == (Outcome.ERROR, error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ErrorKind.BAD_REQUEST),
        (401, ErrorKind.UNAUTHENTICATED),
        (403, ErrorKind.PERMISSION_DENIED),
        (404, ErrorKind.NOT_FOUND),
        (405, ErrorKind.BAD_REQUEST),
        (408, ErrorKind.TIMEOUT),
        (409, ErrorKind.UNAVAILABLE),
        (413, ErrorKind.TOO_LARGE),
        (418, ErrorKind.BAD_REQUEST),
        (422, ErrorKind.BAD_REQUEST),
        (429, ErrorKind.RATE_LIMITED),
        (500, ErrorKind.SERVER_ERROR),
        (501, ErrorKind.SERVER_ERROR),
        (502, ErrorKind.UNAVAILABLE),
        (503, ErrorKind.UNAVAILABLE),
        (504, ErrorKind.TIMEOUT),
        (529, ErrorKind.UNAVAILABLE),
        (301, ErrorKind.BAD_REPLY),
        (100, ErrorKind.BAD_REPLY),
        (999, ErrorKind.BAD_REPLY),
    ],
)
def test_the_status_tells_where_the_body_does_not(status: int, kind: ErrorKind) -> None:
    reply = read(status)
    assert kind_of(reply) is kind
    assert reply.error is not None
    assert reply.error.status == status
    assert reply.error.message


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("RESOURCE_EXHAUSTED", ErrorKind.RATE_LIMITED),
        ("TEMPORARILY_UNAVAILABLE", ErrorKind.UNAVAILABLE),
        ("DEADLINE_EXCEEDED", ErrorKind.TIMEOUT),
        ("PERMISSION_DENIED", ErrorKind.PERMISSION_DENIED),
        ("RESOURCE_DOES_NOT_EXIST", ErrorKind.NOT_FOUND),
        ("UNAUTHENTICATED", ErrorKind.UNAUTHENTICATED),
        ("INTERNAL_ERROR", ErrorKind.SERVER_ERROR),
        ("INVALID_PARAMETER_VALUE", ErrorKind.BAD_REQUEST),
    ],
)
def test_the_servers_code_goes_before_the_status(code: str, kind: ErrorKind) -> None:
    for status in (400, 500):
        error = read(status, {"error_code": code, "message": "m"}).error
        assert error == CallError(kind, "m", status, code)
    assert kind_of(read(418, f"{code}: m".encode())) is kind


def test_an_unknown_code_is_kept_and_the_status_tells() -> None:
    assert read(409, {"error_code": "ALREADY_EXISTS"}).error == CallError(
        ErrorKind.UNAVAILABLE, '{"error_code":"ALREADY_EXISTS"}', 409, "ALREADY_EXISTS"
    )


def test_an_agent_that_passes_on_what_its_tool_was_told_does_not_stop_the_run() -> None:
    denied = read(500, {"detail": "PERMISSION_DENIED: no SELECT on orders"})
    assert kind_of(denied) is ErrorKind.SERVER_ERROR


def test_an_agent_whose_model_is_at_its_limit_is_rate_limited() -> None:
    reply = read(500, {"detail": "Error code: 429 - {'error_code': 'REQUEST_LIMIT_EXCEEDED'}"})
    assert kind_of(reply) is ErrorKind.RATE_LIMITED


def test_a_rate_limit_wrapped_in_a_bad_request_is_a_rate_limit() -> None:
    inner = {"error": {"message": "slow down", "type": "rate_limit_error"}}
    reply = read(400, {"error_code": "BAD_REQUEST", "external_model_error": inner})
    assert reply.error == CallError(ErrorKind.RATE_LIMITED, "slow down", 400, "rate_limit_error")


def test_an_empty_account_is_not_a_rate_limit() -> None:
    reply = read(429, {"error": {"message": "Check your plan.", "code": "insufficient_quota"}})
    assert kind_of(reply) is ErrorKind.PERMISSION_DENIED


def test_a_redirect_to_the_login_is_a_refused_token() -> None:
    login = read(302, location="https://x.databricks.com/oidc/oauth2/v2.0/authorize?state=secret")
    assert login.error == CallError(
        ErrorKind.UNAUTHENTICATED, "redirected to https://x.databricks.com/oidc/oauth2/v2.0/authorize", 302
    )
    assert kind_of(read(307, location="https://x/elsewhere")) is ErrorKind.BAD_REPLY


@pytest.mark.parametrize(
    "secret",
    [
        "dapi0123456789abcdef0123456789abcdef-2",
        "Bearer abc.def-ghi",
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "sk-proj-abcdefgh12345678",
    ],
)
def test_secrets_do_not_get_into_messages(secret: str) -> None:
    for body in (
        {"message": f"bad token {secret}, sorry"},
        {"error": {"message": f"'{secret}'"}},
        f"no {secret}",
    ):
        error = read(403, body).error
        assert error is not None
        assert secret.removeprefix("Bearer ") not in error.message
        assert "[redacted]" in error.message


def test_messages_are_short_and_on_one_line() -> None:
    error = read(500, {"message": "a\n\tb\u0000 " + "é" * 1000}).error
    assert error is not None
    assert error.message.startswith("a b éé")
    assert len(error.message) == 500


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry_after": "7"}, {}, 7.0),
        ({"retry_after": "1.5"}, {}, 1.5),
        ({"retry_after": "-3"}, {}, 0.0),
        ({"retry_after": "Thu, 01 Jan 2026 12:00:30 GMT"}, {}, 30.0),
        ({"retry_after": "Thu, 01 Jan 2026 11:00:00 GMT"}, {}, 0.0),
        ({"retry_after": "Thu Jan  1 12:01:00 2026"}, {}, 60.0),
        ({"retry_after": "86400"}, {}, 86400.0),
        ({"retry_after": "86401"}, {}, 86400.0),
        ({"retry_after": "Thu, 01 Jan 2099 00:00:00 GMT"}, {}, 86400.0),
        ({"retry_after": "soon"}, {}, None),
        ({"retry_after": "inf"}, {}, None),
        ({"retry_after": "١"}, {}, None),
        ({"retry_after_ms": "250", "retry_after": "1"}, {}, 0.25),
        ({"retry_after": "soon"}, {"error": {"retry_after": 15}}, 15.0),
        ({"retry_after": "2"}, {"retry_after": 15}, 2.0),
        ({}, {"retry_after": "4"}, 4.0),
        ({}, {"error": {"retry_after": True}}, None),
        ({}, {"error": {"retry_after": [1]}}, None),
        ({}, {}, None),
    ],
)
def test_retry_after(headers: dict[str, str], body: object, seconds: float | None) -> None:
    assert read(429, body, **headers).retry_after == seconds


def test_a_failed_connection_is_what_it_says() -> None:
    failure = HttpFailure(ErrorKind.CONNECTION, "reset\nby peer; Authorization: Bearer abc")
    assert read_reply(failure, WIRE, NOON_NS) == Reply(
        Outcome.ERROR,
        error=CallError(ErrorKind.CONNECTION, "reset by peer; Authorization: Bearer [redacted]"),
    )


def answered(text: str) -> object:
    return {"output": [{"type": "message", "content": [{"type": "output_text", "text": text}]}]}


def test_a_structured_answer_is_normalised() -> None:
    assert read(200, answered('```json\n{"score": 1, "why": "?"}\n```'), SCORED).text == '{"score":1.0}'


def test_a_structured_answer_that_does_not_fit_keeps_its_text() -> None:
    reply = read(200, answered('{"score": "high"}'), SCORED)
    assert (reply.outcome, reply.text) == (Outcome.INVALID, '{"score": "high"}')
    assert reply.error == CallError(ErrorKind.BAD_REPLY, '$.score: expected double, got "high"', 200)


def test_only_an_ok_answer_is_held_against_the_schema() -> None:
    truncated = {**answered('{"sco'), "status": "incomplete"}
    assert read(200, truncated, SCORED).outcome is Outcome.TRUNCATED
    assert read(200, {"output": []}, SCORED).outcome is Outcome.EMPTY


def test_an_error_inside_a_200_has_the_status() -> None:
    assert read(200, {"error": "boom"}).error == CallError(ErrorKind.AGENT_ERROR, "boom", 200)
    assert read(204).error == CallError(ErrorKind.BAD_REPLY, "the reply is not a JSON object: it is empty", 204)


@pytest.mark.parametrize("name", ["x-request-id", "x-databricks-request-id", "databricks-request-id"])
def test_the_request_id(name: str) -> None:
    assert request_id_of({"date": "x", name: "abc-1"}) == "abc-1"


def test_no_request_id() -> None:
    assert request_id_of({"x-request-id": " "}) is None


RETRYABLE = {"rate_limited", "unavailable", "server_error", "timeout", "connection", "bad_reply"}
STOPPING = {"unauthenticated", "permission_denied", "not_found", "untrusted"}


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_what_a_kind_asks_for(kind: ErrorKind) -> None:
    assert retryable(kind) == (kind.value in RETRYABLE)
    assert stops_run(kind) == (kind.value in STOPPING)
    assert (kind in never_retry) == (kind.value not in RETRYABLE)


KEYS = st.sampled_from(
    [
        *(
            "error",
            "error_code",
            "message",
            "detail",
            "external_model_error",
            "code",
            "type",
            "retry_after",
            "output",
        ),
        *(
            "status",
            "usage",
            "metadata",
            "databricks_output",
            "trace",
            "info",
            "incomplete_details",
            "content",
            "text",
        ),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | KEYS, inner, max_size=4),
    max_leaves=20,
)
BODIES = st.binary() | JSON.map(lambda value: json.dumps(value).encode()) | st.text().map(str.encode)
STATUSES = st.sampled_from([200, 204, 302, 400, 429, 500]) | st.integers()
TEXTS = st.text() | st.sampled_from(["1e400", "-0", "text/event-stream", "Thu, 31 Dec 9999 23:59:59 -2359"])
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms", "content-type", "location", "x-request-id"]) | st.text(),
    TEXTS,
)


def is_sound(reply: Reply) -> bool:
    """Whether a reply can be stored: errors where there are errors, and every text fit for UTF-8."""
    texts = (reply.text, reply.model, reply.custom_outputs, reply.trace, reply.error and reply.error.message)
    for text in texts:
        (text or "").encode()
    return (reply.error is not None) == (reply.outcome in (Outcome.ERROR, Outcome.INVALID))


@given(STATUSES, HEADERS, BODIES, st.sampled_from([WIRE, SCORED]), st.integers())
def test_anything_is_read(status: int, headers: dict[str, str], body: bytes, wire: Wire, now_ns: int) -> None:
    reply = read_reply(HttpReply(status, headers, body, 0), wire, now_ns)
    assert is_sound(reply)
    assert reply.retry_after is None or 0 <= reply.retry_after <= 86_400
    request_id_of(headers)


def test_deep_nesting_is_read() -> None:
    deep = b'{"error":' * 100_000 + b"1" + b"}" * 100_000
    assert is_sound(read(500, deep))
    assert is_sound(read(200, deep))
    assert is_sound(read(500, b'{"detail":' + b"[" * 900 + b"]" * 900 + b"}"))


GOOD = [json.loads(path.read_bytes()) for path in sorted(REPLIES.glob("*.json"))]


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a JSON value, as the steps that lead there."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, each in value.items():
            yield from places(each, (*path, key))
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from places(each, (*path, index))


@given(st.data())
def test_damaged_replies_are_read(data: st.DataObject) -> None:
    damaged = copy.deepcopy(data.draw(st.sampled_from(GOOD)))
    *steps, last = data.draw(st.sampled_from(list(places(damaged))))
    target = damaged
    for step in steps:
        target = target[step]
    if data.draw(st.booleans()):
        del target[last]
    else:
        target[last] = data.draw(JSON)
    status = data.draw(st.sampled_from([200, 400, 500]))
    assert is_sound(read(status, damaged, data.draw(st.sampled_from([WIRE, SCORED]))))
