"""What rowcall sends is what Databricks' own clients send: each is run against the sandbox, which keeps the requests."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import cast

import pytest
from databricks.sdk import WorkspaceClient
from wire_cases import CASES, Case, Clients

from rowcall.core.job_file.reader import parse_job
from rowcall.sandbox.process import SandboxProcess
from support import Bench, control

DELIBERATE: Mapping[str, str] = {
    r"headers\.(host|connection|content-length) =": "HTTP's own",
    r"headers\.(user-agent|x-stainless-.+) =": "each client tells of itself",
    r"headers\.(accept|accept-encoding) =": "what each can read; it is the body that asks for a stream",
    r"headers\.x-databricks-workspace-id =": "the databricks-sdk's; Databricks' OpenAI clients do not send it either",
    r"headers\.traceparent =": "rowcall's: what a server traces and logs can be joined with the row",
    r"body\.stream = false": "what some clients say and others leave out",
    r"body\..+\.title =": "pydantic's names for the parts of a schema",
}
"""Lines of a request that may be in one and not in the other, and why."""


@pytest.fixture(scope="module")
def clients(sandbox: SandboxProcess) -> Clients:
    return Clients(sandbox, WorkspaceClient(profile=sandbox.profile, config_file=sandbox.config_file))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rowcall_sends_what_the_client_sends(
    bench: Bench, clients: Clients, monkeypatch: pytest.MonkeyPatch, case: Case
):
    case.ask(clients)
    by_the_client = request_of(bench, case.agent)
    bench.reset()
    monkeypatch.setenv("SAME_WIRE_KEY", clients.sandbox.serving().token)
    run(bench, case)
    assert request_of(bench, case.agent) == by_the_client


def run(bench: Bench, case: Case) -> None:
    """Run the case as a job over one row, which must get its answer."""
    name = "same_wire_" + re.sub(r"\W", "_", case.name)
    text = f"""
        job: {name}
        prompts: {{query: "SELECT 1 AS id, 'hello' AS text", key: id}}
        request: {case.request}
        endpoint: {case.endpoint.replace("HOST", bench.sandbox.host)}
        engine: {{kind: responses, fan_out: driver, flush_seconds: 0.1}}
        answer: {case.answer}
        outputs: {{table: main.test.{name}_out}}
        traces: {{table: main.test.same_wire_traces}}
        runs: {{table: main.test.same_wire_runs}}
    """
    row = bench.run(parse_job(text, f"{name}.yml"))
    assert (row.status, row.ok) == ("done", 1)


def request_of(bench: Bench, agent: str) -> list[str]:
    """The one request that came, a line for each part that must be the same. Its Authorization is not kept; it was a Bearer's
    whom the sandbox knows, or the request would not have been."""
    (request,) = cast("list[object]", control(bench.sandbox, "GET", f"requests/{agent}"))
    return sorted(line for line in lines("", request) if not any(re.match(part, line) for part in DELIBERATE))


def lines(path: str, value: object) -> Iterator[str]:
    """`body.input.0.role = "user"` for every value in `value`."""
    match value:
        case dict() if value:
            for name, part in value.items():
                yield from lines(f"{path}.{name}" if path else name, part)
        case list() if value:
            for place, part in enumerate(value):
                yield from lines(f"{path}.{place}", part)
        case _:
            yield f"{path} = {json.dumps(value)}"
