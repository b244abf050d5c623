"""Runs whose tokens expire, are revoked, or are never good: nothing is lost, and a 401 is seen only where nothing else is left."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rowcall.core.definition import JobDefinition
from rowcall.core.ports import SqlSession
from rowcall.sandbox import lakehouse
from rowcall.sandbox.process import SandboxProcess, start_sandbox
from support import Bench, control, make_job, texts, wait_until

TTL, LATENCY_MS, CONCURRENCY = 2, 500, 8
ROWS = 3 * TTL * 1000 // LATENCY_MS * CONCURRENCY + CONCURRENCY
"""More than can be asked in three lives of a token."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A sandbox whose tokens may end: nobody else has one."""
    with start_sandbox(tmp_path_factory.mktemp("tokens"), token_ttl=TTL) as started:
        yield started


@pytest.fixture
def own(house: lakehouse.Lakehouse, session: SqlSession, workspace: SandboxProcess, tmp_path: Path) -> Bench:
    made = Bench(session, workspace, tmp_path, house.folder)
    made.reset()
    made.behave(latency_ms=LATENCY_MS)
    return made


def job_of(own: Bench, name: str, fan_out: str) -> JobDefinition:
    own.fill(name, texts(ROWS))
    return make_job(name, engine={"kind": "responses", "concurrency": CONCURRENCY, "fan_out": fan_out})


def failures_told(own: Bench, job: JobDefinition) -> int:
    """Answers that took more than one attempt, and spans of calls or attempts that failed."""
    outputs = f"SELECT count(*) AS n FROM {job.outputs.table} WHERE outcome <> 'ok' OR attempts <> 1"
    spans = f"SELECT count(*) AS n FROM {job.traces.table} WHERE status.code = 'STATUS_CODE_ERROR'"
    return sum(int(str(own.session.query(query)[0]["n"])) for query in (outputs, spans))


@pytest.mark.parametrize("fan_out", ["driver", "executors"])
def test_a_run_that_outlives_its_tokens_loses_nothing(own: Bench, workspace: SandboxProcess, fan_out: str):
    job = job_of(own, f"outlives_{fan_out}", fan_out)
    control(workspace, "PUT", "tokens", {"ttl": TTL})
    control(workspace, "DELETE", "tokens")
    done = own.run(job).check()
    assert (done.ok, done.failed, done.retries) == (ROWS, 0, 0)
    assert own.figures()["answered"] == ROWS
    assert control(workspace, "GET", "tokens")["issued"] >= 3
    assert failures_told(own, job) == 0


def test_a_run_whose_tokens_are_revoked_in_the_middle_loses_nothing(own: Bench, workspace: SandboxProcess):
    job = job_of(own, "revoked", "driver")
    control(workspace, "PUT", "tokens", {"ttl": 3600})

    def revoke() -> None:
        wait_until(lambda: own.figures()["answered"] > ROWS // 3)
        control(workspace, "DELETE", "tokens")

    with ThreadPoolExecutor(1) as background:
        revoking = background.submit(revoke)
        done = own.run(job).check()
        revoking.result()
    assert (done.ok, done.failed, done.retries) == (ROWS, 0, 0)
    assert own.figures()["answered"] == ROWS
    tokens = control(workspace, "GET", "tokens")
    assert tokens["issued"] == 1
    assert 1 <= tokens["refused"] <= CONCURRENCY
    assert failures_told(own, job) == 0


def test_a_server_that_always_refuses_stops_the_run_with_one_clear_reason(own: Bench, workspace: SandboxProcess):
    job = job_of(own, "refused", "driver")
    own.behave(faults=[{"status": 401, "body": {"error_code": 401, "message": "Invalid Token"}}])
    control(workspace, "DELETE", "tokens")
    done = own.run(job)
    assert done.status == "stopped"
    assert str(done.message).startswith("unauthenticated (HTTP 401): Invalid Token")
    assert done.ok == 0
    assert 1 <= done.failed <= 2 * CONCURRENCY
    assert own.figures()["calls"] <= 2 * done.failed
