"""Every fault of faults.yml, staged: a run of a small job from SQL over HTTP to Delta, and what must come of it."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from own_server import OwnServer, own_server, untrusted

from fault_table import Case, read_cases
from matrix import MatrixRow
from rowcall.core.definition import JobDefinition
from rowcall.core.ports import Row, SqlSession
from rowcall.sandbox.lakehouse import Lakehouse
from rowcall.sandbox.process import SandboxProcess
from support import Bench, control, make_job


@pytest.fixture(scope="module", autouse=True)
def warm(house: Lakehouse, session: SqlSession, sandbox: SandboxProcess, tmp_path_factory: pytest.TempPathFactory):
    """The first run of a session takes much longer than others; some faults would be over by then."""
    Bench(session, sandbox, tmp_path_factory.mktemp("warm"), house.folder).run(job_of("warm", 1, {"app": "echo"}, {}))


@pytest.mark.parametrize("case", read_cases(), ids=str)
def test_what_comes_of_a_fault(bench: Bench, case: Case, tmp_path: Path, matrix: Callable[[MatrixRow], None]):
    with staged(bench, case, tmp_path) as (endpoint, server):
        job = job_of("fault_" + re.sub(r"\W+", "_", str(case)).lower(), case.rows, endpoint, case.limits)
        run = bench.run(job)
        asked = requests(bench) if server is None else Counter(server.asked)
        outputs = bench.outputs(job)
    assert (run.status, bool(run.message)) == (case.run, case.run == "stopped"), run.message
    assert run.ok == case.ok, run.failures
    assert run.failures.keys() == case.errors.keys(), run.failures
    assert all(run.failures[kind] in count for kind, count in case.errors.items()), run.failures
    assert asked.total() in case.calls
    assert len(outputs) == len({row["id"] for row in outputs})
    assert answers(outputs) == {f"row {row['id']}" for row in outputs if row["outcome"] == "ok"}
    if case.run == "done" and server is None:
        assert run.retries == (asked.total() - case.rows if case.retries is None else case.retries)

    repaid = max(0, calls_without_need(asked, outputs) - refused_logins(bench))
    lost = case.rows - len(outputs) if case.run == "done" else answered_rows(bench) - len(answers(outputs))
    if not case.below and (case.run == "stopped" or 0 < run.ok < case.rows):
        repaid += finish(bench, job, case.rows, answers(outputs))
    matrix(MatrixRow("fault", str(case), case.rows, run.ok, run.failed, asked.total(), lost, repaid))
    assert (lost, repaid) == (0, 0)


@contextmanager
def staged(bench: Bench, case: Case, folder: Path) -> Iterator[tuple[Mapping[str, Any], OwnServer | None]]:
    """The endpoint, with its fault; and what serves it, where that is not the sandbox."""
    if case.below is None:
        bench.behave(**case.behaviour)
        yield case.endpoint, None
        return
    with own_server(untrusted(folder) if case.below == "tls" else None) as server:
        opening = Timer(case.fault_for or 0.0, server.open)
        if case.below == "tls" or case.fault_for is not None:
            opening.start()
        host = "rowcall.invalid" if case.below == "dns" else "127.0.0.1"
        yield {"url": f"{'https' if case.below == 'tls' else 'http'}://{host}:{server.port}/v1"}, server
        opening.cancel()


def job_of(name: str, rows: int, endpoint: Mapping[str, Any], limits: Mapping[str, Any]) -> JobDefinition:
    return make_job(
        name,
        prompts={"query": f"SELECT id, concat('row ', id) AS text FROM range({rows})", "key": "id"},
        endpoint=endpoint,
        limits=limits,
        engine={"kind": "responses", "concurrency": 8, "flush_seconds": 0.1},
    )


def requests(bench: Bench) -> Counter[str]:
    """How often the sandbox was asked each row's text."""
    bodies = (json.dumps(request["body"]) for request in control(bench.sandbox, "GET", "requests/echo"))
    return Counter(text for body in bodies for text in re.findall(r"row \d+", body))


def answers(outputs: Sequence[Row]) -> set[object]:
    return {row["answer"] for row in outputs if row["outcome"] == "ok"}


def calls_without_need(asked: Counter[str], outputs: Sequence[Row]) -> int:
    """Calls for a row beyond its attempts, the last of which is the only one that was answered."""
    return sum(max(0, asked[f"row {row['id']}"] - int(str(row["attempts"]))) for row in outputs)


def refused_logins(bench: Bench) -> int:
    """Calls that are no attempts where they are sent once more with a new login."""
    return bench.figures().get("statuses", {}).get("401", 0)


def answered_rows(bench: Bench) -> int:
    """Rows that the sandbox has answered."""
    return bench.figures().get("distinct_answered", 0)


def finish(bench: Bench, job: JobDefinition, rows: int, answered: set[object]) -> int:
    """Run the job again without the fault: it answers the rows that are left. Returns the calls that it makes without need."""
    bench.reset()
    run = bench.run(job).check()
    assert (run.ok, run.failed) == (rows - len(answered), 0)
    outputs = bench.outputs(job)
    assert [(row["answer"], row["outcome"]) for row in outputs] == [(f"row {n}", "ok") for n in range(rows)]
    asked = requests(bench)
    return sum(asked[str(answer)] for answer in answered) + sum(asked.values()) - run.ok
