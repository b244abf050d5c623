"""The durable agent server of agents on Databricks Apps, `POST /api/invocations` (FACTS 2.1).

The client chooses the id of a run: asking again with the same id is told how that run stands, and starts none. What a run
takes and returns is the agent's own affair; the templates take `{"messages": […]}` and return
`{"output": [messages], "status": "completed" | "interrupted"}`.
"""

from collections.abc import Mapping
from dataclasses import replace

from rowcall.core.endpoints.embedded import read_value
from rowcall.core.endpoints.envelope import about, agent_error, error_of, unreadable
from rowcall.core.loose import json_text, mapping, sequence, text, told_count
from rowcall.core.records import CallError, ErrorKind, Outcome, Reply

_SESSION = "session_id"
_GOES_ON = ("queued", "active", "running", "in_progress")
_ANSWERS = ("answer", "text", "content", "response")
_TOKENS = ("input_tokens", "output_tokens", "total_tokens")
_APPROVAL = "the agent waits for an approval, which a batch cannot give"


def build(request: Mapping[str, object], run_id: str) -> dict[str, object]:
    """The body for a read request. Nothing replaces the messages. An answer schema cannot be told here."""
    custom = dict(mapping(request.get("custom_inputs")))
    session = custom.pop(_SESSION, None)
    given = {**custom, **mapping(request.get("parameters"))}
    return {
        "id": run_id,
        _SESSION: (session if isinstance(session, str) else json_text(session)) or run_id,
        "input": {**given, "messages": request.get("messages")},
        "background": True,
    }


def read(payload: object, body: bytes) -> Reply:
    """How a run stands, or what it answered. Total. `body` are the reply's bytes, for an excerpt where it says nothing."""
    if not isinstance(payload, dict):
        return unreadable("the reply is not a JSON object", body)
    run = mapping(payload)
    reply = _read(run, body)
    return replace(reply, response_id=about(run).response_id)


def _read(run: Mapping[str, object], body: bytes) -> Reply:
    run_id = text(run.get("id"))
    if run_id and _goes_on(run):
        return Reply(Outcome.EMPTY, running=run_id)
    match run.get("status"):
        case "completed":
            return _answer(run.get("output"))
        case "failed":
            return Reply(Outcome.ERROR, error=_failure(run.get("error")))
        case _:
            error = error_of(run)
            missing = "the reply has no status, or no id, of a run"
            return Reply(Outcome.ERROR, error=error) if error else unreadable(missing, body)


def _goes_on(run: Mapping[str, object]) -> bool:
    """Whether there is more to come of a run: it says so, or has neither output nor error, and a status that is none of an end."""
    status = run.get("status")
    if status == "completed":
        # Told without output to who begins a run that is done already: only a look at it brings that.
        return "output" not in run
    return status in _GOES_ON or (isinstance(status, str) and not run.get("output") and error_of(run) is None)


def _failure(error: object) -> CallError:
    """A code is the agent's own refusal, or what passes; without one the run broke, and may go well under another id."""
    failure = agent_error(error, "the run failed and does not say why")
    return failure if failure.code else replace(failure, kind=ErrorKind.SERVER_ERROR)


def _answer(output: object) -> Reply:
    said = mapping(output)
    if said.get("status") == "interrupted" or any(_interrupts(item) for item in sequence(said.get("output"))):
        return about(said, Outcome.ERROR, error=CallError(ErrorKind.AGENT_ERROR, _APPROVAL))
    answers = [said[key] for key in _ANSWERS if key in said]
    if len(answers) == 1 and isinstance(answers[0], str) and "output" not in said:
        reply = read_value(answers[0])
        return replace(about(said), outcome=reply.outcome, text=reply.text)
    usage = _usage(said)
    return read_value({"usage": usage, **said} if usage else output)


def _interrupts(item: object) -> bool:
    return mapping(item).get("type") == "interrupt"


def _usage(output: Mapping[str, object]) -> dict[str, int]:
    """The token counts that LangChain puts beside each of the agent's messages, summed."""
    used = [mapping(mapping(item).get("usage_metadata")) for item in sequence(output.get("output"))]
    return {
        name: sum(told_count(each.get(name)) or 0 for each in used)
        for name in _TOKENS
        if any(name in each for each in used)
    }
