"""One row asked to the end: runs in the background, runs that are found again, corrections, endpoints that start."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pytest

from rowcall.core.answer import parse_answer_schema
from rowcall.core.endpoints import Wire
from rowcall.core.invocation_id import invocation_id
from rowcall.core.limits import Budget
from rowcall.core.records import Call, ErrorKind, HttpFailure, HttpReply, HttpRequest, Outcome
from rowcall.core.retry import RetryPolicy
from rowcall.core.segments import Finished, segment
from rowcall.core.spans import SpanContext
from rowcall.engines import following
from rowcall.engines.caller import Caller
from rowcall.engines.gate import Gate
from rowcall.engines.recipe import Recipe, Row
from rowcall.engines.stopping import Stopping
from rowcall.testing import FakeEndpoint, MemoryJournal, error_reply, responses_reply

SCORE = parse_answer_schema({"score": "double"})
Reply = HttpReply | HttpFailure


@dataclass
class Server:
    """An `EndpointClient`: `answer` gets the method, the path under the URL and the body."""

    answer: Callable[[str, str, Any], Reply]
    heard: list[tuple[str, str, Any]] = field(default_factory=list[tuple[str, str, Any]])

    async def send(self, request: HttpRequest) -> Reply:
        method = "GET" if request.body is None else "POST"
        said = (method, request.url.removeprefix("http://x"), json.loads(request.body or b"null"))
        self.heard.append(said)
        return self.answer(*said)

    def sent(self, method: str) -> list[Any]:
        return [body for kind, _, body in self.heard if kind == method]


def recipe(**changes: Any) -> Recipe:
    made = Recipe(
        connect=FakeEndpoint().connect,
        open_journal=MemoryJournal().open,
        url="http://x/ask",
        runs_url="http://x/runs",
        headers=(),
        wire=Wire("responses", "m"),
        share=1,
        timeout=5.0,
        run_timeout=60.0,
        retry=RetryPolicy(attempts=3, base=0.001),
        corrections=0,
        most_bytes=None,
        deadline_ns=None,
        flush_rows=1,
        flush_seconds=1.0,
        budget=Budget(),
        spans=SpanContext("run-1", "triage", "agent", "invoke_agent", "m", "x", "full"),
        null_prompt="",
    )
    return replace(made, **changes)


def row(text: str = "hello", key: int = 7) -> Row:
    request = json.dumps({"messages": [{"role": "user", "content": text}]})
    return Row("hash-1", request, pa.array([[{"id": key + 1}, {"id": key}]]))


def ask(server: Server, made: Recipe, *, stop: Stopping | None = None, asked: Row | None = None) -> Call | None:
    async def once() -> Call | None:
        stopping = stop or Stopping(made.deadline_ns)
        return await Caller(made, server, Gate(made, stopping), stopping, Counter[str]()).ask(asked or row())

    return asyncio.run(once())


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "FIRST_LOOK", 0.001)
    monkeypatch.setattr(following, "MOST_BETWEEN_LOOKS", 0.002)


def reply(body: Mapping[str, Any], status: int = 200) -> HttpReply:
    return HttpReply(status, {"content-type": "application/json"}, json.dumps(body).encode(), 1)


class TestInTheBackground:
    BACKGROUND = Wire("responses", "m", run="background")

    def test_a_run_is_begun_once_and_asked_after_until_it_is_done(self) -> None:
        looks = iter([reply({"id": "resp_1", "status": "in_progress", "output": []})] * 3)

        def answer(method: str, path: str, body: Any) -> Reply:
            if method == "POST":
                return reply({"id": "resp_1", "status": "in_progress", "output": []})
            return next(looks, responses_reply("at last", status=200, id="resp_1"))

        server = Server(answer)
        call = ask(server, recipe(wire=self.BACKGROUND))
        assert call is not None
        assert (call.reply.outcome, call.reply.text, len(call.attempts)) == (Outcome.OK, "at last", 1)
        assert [body["background"] for body in server.sent("POST")] == [True]
        assert {path for method, path, _ in server.heard if method == "GET"} == {"/runs/resp_1"}

    def test_a_look_that_fails_says_nothing_about_the_run(self) -> None:
        looks = iter([HttpFailure(ErrorKind.CONNECTION, "reset"), error_reply(503), error_reply(500)])

        def answer(method: str, path: str, body: Any) -> Reply:
            if method == "POST":
                return reply({"id": "resp_1", "status": "queued", "output": []})
            return next(looks, responses_reply("at last"))

        server = Server(answer)
        call = ask(server, recipe(wire=self.BACKGROUND))
        assert call is not None
        assert (call.reply.text, len(server.sent("POST"))) == ("at last", 1)

    def test_a_run_that_the_server_lost_is_begun_anew(self) -> None:
        lost = iter([error_reply(404, "", "no such response")])

        def answer(method: str, path: str, body: Any) -> Reply:
            if method == "POST":
                return reply({"id": "resp_1", "status": "queued", "output": []})
            return next(lost, responses_reply("second run"))

        server = Server(answer)
        call = ask(server, recipe(wire=self.BACKGROUND))
        assert call is not None
        assert (call.reply.text, len(server.sent("POST")), len(call.attempts)) == ("second run", 2, 2)

    def test_a_run_that_takes_too_long_is_given_up_and_not_begun_again(self) -> None:
        server = Server(lambda *_: reply({"id": "resp_1", "status": "in_progress", "output": []}))
        call = ask(server, recipe(wire=self.BACKGROUND, run_timeout=0.02))
        assert call is not None
        assert call.reply.error is not None
        assert call.reply.error.kind is ErrorKind.AGENT_ERROR
        assert "limits.run_timeout (0.02 s)" in call.reply.error.message
        assert len(server.sent("POST")) == 1

    def test_a_run_that_the_server_cut_off_is_not_begun_again(self) -> None:
        late = {"id": "r/1 ?", "status": "failed", "error": {"code": "task_timeout", "message": "too long"}}

        def answer(method: str, path: str, body: Any) -> Reply:
            return reply(late) if method == "GET" else reply({"id": "r/1 ?", "status": "queued", "output": []})

        server = Server(answer)
        call = ask(server, recipe(wire=self.BACKGROUND))
        assert call is not None
        assert call.reply.error is not None
        assert (call.reply.error.kind, len(server.sent("POST"))) == (ErrorKind.AGENT_ERROR, 1)
        assert {path for method, path, _ in server.heard if method == "GET"} == {"/runs/r%2F1%20%3F"}

    @pytest.mark.parametrize(
        "strange",
        [
            HttpReply(200, {"content-type": "text/html"}, b"<html>maintenance</html>", 1),
            responses_reply("answer of another run", id="resp_2"),
        ],
        ids=["a page", "another run"],
    )
    def test_what_says_nothing_of_the_run_does_not_end_it(self, strange: HttpReply) -> None:
        looks = iter([strange, strange])

        def answer(method: str, path: str, body: Any) -> Reply:
            if method == "POST":
                return reply({"id": "resp_1", "status": "queued", "output": []})
            return next(looks, responses_reply("its own answer", id="resp_1"))

        server = Server(answer)
        call = ask(server, recipe(wire=self.BACKGROUND))
        assert call is not None
        assert (call.reply.text, len(server.sent("POST")), len(call.attempts)) == ("its own answer", 1, 1)

    def test_a_run_that_is_called_dot_dot_is_none(self) -> None:
        server = Server(lambda *_: reply({"id": "..", "status": "queued", "output": []}))
        call = ask(server, recipe(wire=self.BACKGROUND, retry=RetryPolicy(attempts=1)))
        assert call is not None
        assert call.reply.error is not None
        assert (call.reply.error.kind, server.sent("GET")) == (ErrorKind.BAD_REPLY, [])

    def test_a_server_that_answers_at_once_is_believed(self) -> None:
        server = Server(lambda *_: responses_reply("at once"))
        call = ask(server, recipe(wire=self.BACKGROUND))
        assert call is not None
        assert (call.reply.text, len(server.heard)) == ("at once", 1)


class Durable:
    """The durable agent server, in a few lines: runs by id, each answered by `work` when it is looked at."""

    def __init__(self, work: Callable[[Any], Mapping[str, Any]]) -> None:
        self.work = work
        self.runs: dict[str, tuple[Any, Mapping[str, Any]]] = {}

    def __call__(self, method: str, path: str, body: Any) -> Reply:
        if method == "GET":
            _, state = self.runs[path.removeprefix("/runs/")]
            return reply(state)
        if body["id"] in self.runs:
            asked, state = self.runs[body["id"]]
            if asked != body["input"]:
                return reply({"detail": "id was already used for another request"}, 409)
            return reply({"id": body["id"], "status": state["status"], "status_url": "/"}, 202)
        self.runs[body["id"]] = (body["input"], {"id": body["id"], **self.work(body["input"])})
        return reply({"id": body["id"], "status": "queued", "status_url": "/"}, 202)


class TestDurable:
    DURABLE = Wire("durable", None, run="background")
    ID = invocation_id("triage", '{"id": 7}', "hash-1")

    def test_the_question_decides_the_id_and_asking_again_finds_the_run(self) -> None:
        server = Server(Durable(lambda given: {"status": "completed", "output": given["messages"][-1]["content"]}))
        first, second = ask(server, recipe(wire=self.DURABLE)), ask(server, recipe(wire=self.DURABLE))
        assert first is not None
        assert second is not None
        assert (first.reply.text, second.reply.text) == ("hello", "hello")
        assert [body["id"] for body in server.sent("POST")] == [self.ID, self.ID]
        assert list(server.answer.runs) == [self.ID]

    def test_another_job_or_key_or_request_is_another_run(self) -> None:
        given = [("triage", "k", "h"), ("other", "k", "h"), ("triage", "l", "h"), ("triage", "k", "i")]
        ids = {invocation_id(*what) for what in given} | {invocation_id("triage", "k", "h", "0.1")}
        assert len(ids) == 5

    def test_a_failed_run_is_passed_over_and_another_begun(self) -> None:
        outcomes = iter([{"status": "failed", "error": "agent invocation failed"}])
        server = Server(Durable(lambda _: next(outcomes, {"status": "completed", "output": "better"})))
        once = ask(server, recipe(wire=self.DURABLE, retry=RetryPolicy(attempts=1)))
        assert once is not None
        assert once.reply.error is not None
        assert (once.reply.error.kind, once.reply.error.message) == (
            ErrorKind.SERVER_ERROR,
            "agent invocation failed",
        )
        again = ask(server, recipe(wire=self.DURABLE, retry=RetryPolicy(attempts=1)))
        assert again is not None
        assert (again.reply.text, len(again.attempts)) == ("better", 1)
        assert len(server.answer.runs) == 2

    def test_within_a_run_a_failed_one_is_tried_again_under_another_id(self) -> None:
        outcomes = iter([{"status": "failed", "error": "agent invocation failed"}] * 2)
        server = Server(Durable(lambda _: next(outcomes, {"status": "completed", "output": "third"})))
        call = ask(server, recipe(wire=self.DURABLE))
        assert call is not None
        assert (call.reply.text, len(call.attempts), len(server.answer.runs)) == ("third", 3, 3)

    def test_an_exchange_that_fails_on_the_way_finds_its_run_again(self) -> None:
        durable = Durable(lambda _: {"status": "completed", "output": "once"})
        cut = iter([True])

        def answer(method: str, path: str, body: Any) -> Reply:
            got = durable(method, path, body)
            return HttpFailure(ErrorKind.CONNECTION, "reset") if next(cut, False) else got

        server = Server(answer)
        call = ask(server, recipe(wire=self.DURABLE))
        assert call is not None
        assert (call.reply.text, len(call.attempts), len(durable.runs)) == ("once", 2, 1)

    @pytest.mark.parametrize(
        ("state", "outcome", "attempts", "runs"),
        [
            ({"status": "completed", "output": ""}, Outcome.EMPTY, 2, 1),
            ({"status": "failed", "error": "boom"}, Outcome.ERROR, 3, 2),
        ],
        ids=["empty", "failed"],
    )
    def test_what_this_call_began_is_no_earlier_runs(
        self, state: dict[str, Any], outcome: Outcome, attempts: int, runs: int
    ) -> None:
        """The reply to the first request is lost; the second is told how the run of the first ended."""
        durable = Durable(lambda _: state)
        cut = iter([True])

        def answer(method: str, path: str, body: Any) -> Reply:
            got = durable(method, path, body)
            return HttpFailure(ErrorKind.CONNECTION, "reset") if next(cut, False) else got

        call = ask(Server(answer), recipe(wire=self.DURABLE, retry=RetryPolicy(attempts=3, base=0.001)))
        assert call is not None
        assert (call.reply.outcome, len(call.attempts), len(durable.runs)) == (outcome, attempts, runs)

    def test_an_id_that_another_text_has_used_is_passed_over(self) -> None:
        durable = Durable(lambda given: {"status": "completed", "output": given["messages"][-1]["content"]})
        durable.runs[self.ID] = ({"messages": []}, {"id": self.ID, "status": "completed", "output": "stale"})
        call = ask(Server(durable), recipe(wire=self.DURABLE))
        assert call is not None
        assert (call.reply.text, len(durable.runs)) == ("hello", 2)

    def test_a_failure_told_at_once_is_an_attempt(self) -> None:
        server = Server(lambda method, path, body: reply({"id": body["id"], "status": "failed", "error": "boom"}))
        call = ask(server, recipe(wire=self.DURABLE, retry=RetryPolicy(attempts=3, base=0.001)))
        assert call is not None
        assert (call.reply.outcome, len(call.attempts)) == (Outcome.ERROR, 3)
        assert len({body["id"] for body in server.sent("POST")}) == len(server.heard) == 3

    @pytest.mark.parametrize(
        "said",
        [HttpReply(200, {"content-type": "text/html"}, b"<html>log in</html>", 1), error_reply(409)],
        ids=["a page", "for ever in use"],
    )
    def test_what_is_no_run_begins_no_others_without_end(self, said: HttpReply) -> None:
        server = Server(lambda *_: said)
        call = ask(server, recipe(wire=self.DURABLE, retry=RetryPolicy(attempts=2, base=0.001)))
        assert call is not None
        assert (call.reply.outcome, len(call.attempts)) == (Outcome.ERROR, 2)
        assert len(server.heard) <= 8

    @pytest.mark.parametrize("before", ["", {"output": [{"type": "interrupt"}], "status": "interrupted"}])
    def test_what_an_earlier_run_of_the_job_was_not_answered_is_answered_anew(self, before: Any) -> None:
        outcomes = iter([{"status": "completed", "output": before}])
        durable = Durable(lambda _: next(outcomes, {"status": "completed", "output": "now"}))
        first = ask(Server(durable), recipe(wire=self.DURABLE))
        assert first is not None
        assert (first.reply.outcome is Outcome.OK, len(durable.runs)) == (False, 1)
        again = ask(Server(durable), recipe(wire=self.DURABLE))
        assert again is not None
        assert (again.reply.text, len(durable.runs)) == ("now", 2)

    def test_a_stop_lets_go_of_a_run_that_can_be_found_again(self) -> None:
        stopping: list[Stopping] = []

        def answer(method: str, path: str, body: Any) -> Reply:
            stopping[0].stop("enough")
            return reply({"id": "any", "status": "queued"}, 202)

        async def once() -> Call | None:
            stopping.append(Stopping(None))
            made = recipe(wire=self.DURABLE)
            return await Caller(made, server, Gate(made, stopping[0]), stopping[0], Counter[str]()).ask(row())

        server = Server(answer)
        assert asyncio.run(once()) is None
        assert len(server.heard) == 1


class TestCorrections:
    WIRE = Wire("responses", "m", answer=SCORE)

    def test_an_invalid_answer_is_asked_again_with_what_was_wrong_and_all_of_it_is_paid(self) -> None:
        said = iter(['{"score": "high"}', '{"score": 0.5}'])
        usage = {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}
        server = Server(lambda *_: responses_reply(next(said), usage=usage))
        call = ask(server, recipe(wire=self.WIRE, corrections=1))
        assert call is not None
        assert (call.reply.outcome, call.reply.text) == (Outcome.OK, '{"score":0.5}')
        assert (call.reply.usage.input_tokens, call.reply.usage.total_tokens) == (20, 24)
        first, second = server.sent("POST")
        assert second["input"][: len(first["input"])] == first["input"]
        assistant, user = second["input"][-2:]
        assert (assistant["role"], user["role"]) == ("assistant", "user")
        assert '{"score": "high"}' in json.dumps(assistant, ensure_ascii=False).replace('\\"', '"')
        assert "expected double" in json.dumps(user)
        assert [attempt.error is None for attempt in call.attempts] == [False, True]

    def test_tokens_that_cannot_be_believed_cost_no_row(self) -> None:
        server = Server(lambda *_: responses_reply("no JSON", usage={"input_tokens": 2**62, "output_tokens": 5}))
        call = ask(server, recipe(wire=self.WIRE, corrections=2))
        assert call is not None
        assert (call.reply.usage.input_tokens, call.reply.usage.output_tokens) == (None, 15)
        assert segment([Finished(call, [], None, row().keys)]).num_rows == 1

    def test_after_the_last_correction_the_answer_is_invalid(self) -> None:
        server = Server(lambda *_: responses_reply("no JSON"))
        call = ask(server, recipe(wire=self.WIRE, corrections=2))
        assert call is not None
        assert (call.reply.outcome, len(server.heard)) == (Outcome.INVALID, 3)

    def test_a_correction_that_fails_leaves_the_invalid_answer(self) -> None:
        said = iter([responses_reply("no JSON", usage={"input_tokens": 3})])
        server = Server(lambda *_: next(said, error_reply(400, "BAD_REQUEST", "no more")))
        call = ask(server, recipe(wire=self.WIRE, corrections=1))
        assert call is not None
        assert (call.reply.outcome, call.reply.usage.input_tokens) == (Outcome.INVALID, 3)

    def test_a_custom_model_is_not_told(self) -> None:
        asked = Row("hash-1", json.dumps({"inputs": {"text": "x"}}), pa.array([[{"id": 1}]]))
        server = Server(lambda *_: reply({"predictions": ["no JSON"]}))
        call = ask(server, recipe(wire=Wire("records", None, answer=SCORE), corrections=3), asked=asked)
        assert call is not None
        assert (call.reply.outcome, len(server.heard)) == (Outcome.INVALID, 1)

    def test_a_run_on_the_durable_server_is_corrected_under_another_id(self) -> None:
        durable = Durable(
            lambda given: {"status": "completed", "output": '{"score": 1}' if len(given["messages"]) > 1 else "?"}
        )
        wire = Wire("durable", None, answer=SCORE, run="background")
        for _ in range(2):
            call = ask(Server(durable), recipe(wire=wire, corrections=1))
            assert call is not None
            assert call.reply.outcome is Outcome.OK
        assert len(durable.runs) == 2


def test_a_request_above_the_limit_is_not_sent() -> None:
    server = Server(lambda *_: responses_reply("never"))
    call = ask(server, recipe(most_bytes=200), asked=row("é" * 100))
    assert call is not None
    assert call.reply.error is not None
    assert call.reply.error.kind is ErrorKind.TOO_LARGE
    assert "at most 200" in call.reply.error.message
    assert (server.heard, call.attempts) == ([], ())


def test_a_column_that_holds_no_messages_is_the_rows_error() -> None:
    asked = Row("hash-1", json.dumps({"messages": ["not messages"]}), pa.array([[{"id": 1}]]))
    server = Server(lambda *_: responses_reply("never"))
    call = ask(server, recipe(), asked=asked)
    assert call is not None
    assert call.reply.error is not None
    assert (call.reply.error.kind, server.heard) == (ErrorKind.BAD_REQUEST, [])


class TestWaking:
    def test_an_endpoint_that_starts_is_waited_for_and_burns_no_attempts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def at_once(_: Stopping, seconds: float) -> None:
            waits.append(seconds)

        waits: list[float] = []
        monkeypatch.setattr(Stopping, "pause", at_once)
        cold = iter([error_reply(503, "TEMPORARILY_UNAVAILABLE")] * 9)
        call = ask(Server(lambda *_: next(cold, responses_reply("awake"))), recipe(retry=RetryPolicy(attempts=2)))
        assert call is not None
        assert (call.reply.text, len(call.attempts)) == ("awake", 10)
        assert len(waits) == 9
        assert max(waits) <= 10.0

    def test_one_that_has_answered_is_not_asleep(self) -> None:
        replies = iter([responses_reply("first"), *[error_reply(503)] * 9])

        async def both() -> list[Call | None]:
            asked, stopping = recipe(retry=RetryPolicy(attempts=2, base=0.001)), Stopping(None)
            server, gate = Server(lambda *_: next(replies)), Gate(asked, stopping)
            made = Caller(asked, server, gate, stopping, Counter[str]())
            return [await made.ask(row()), await made.ask(row("again"))]

        first, second = asyncio.run(both())
        assert first is not None
        assert second is not None
        assert (first.reply.outcome, second.reply.outcome, len(second.attempts)) == (Outcome.OK, Outcome.ERROR, 2)
