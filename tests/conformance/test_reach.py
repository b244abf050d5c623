"""Whether tasks reach an endpoint is found out by one that tries; where they do not, the driver makes the calls, and says so."""

import socket
from dataclasses import replace
from typing import Any

import pytest

from rowcall.core.errors import DefinitionError, RunError
from rowcall.core.ports import Row, SqlSession, TaskWork
from rowcall.engines.reach import out_of_reach
from rowcall.testing import FakeSqlSession
from support import Bench, make_job


def test_a_task_reaches_what_is_there(session: SqlSession) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert out_of_reach(session, f"http://127.0.0.1:{server.getsockname()[1]}/v1") is None


def test_a_task_says_why_it_does_not_reach_the_rest(session: SqlSession) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    said = out_of_reach(session, f"http://127.0.0.1:{port}")
    assert said is not None
    assert said.startswith("Spark's tasks do not reach 127.0.0.1: ")
    assert "refused" in said


def test_a_name_that_is_nobodys(session: SqlSession) -> None:
    assert "do not reach rowcall.invalid" in str(out_of_reach(session, "https://rowcall.invalid"))


class Broken(FakeSqlSession):
    def fan_out(self, query: str, tasks: int, work: TaskWork) -> list[Row]:
        raise RunError("No module named 'rowcall'")


def test_tasks_that_do_not_run_at_all_are_no_way_either() -> None:
    assert out_of_reach(Broken(), "https://a.test") == "Spark's tasks do not run here: No module named 'rowcall'"


class Walled:
    """The session, in whose tasks nothing is reached: there `work` runs behind a name that is nobody's."""

    def __init__(self, session: SqlSession) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def fan_out(self, query: str, tasks: int, work: Any) -> list[Row]:
        return self._session.fan_out(query, tasks, type(work)(work.func, ("rowcall.invalid", 443)))


@pytest.fixture
def walled(bench: Bench) -> Bench:
    return replace(bench, session=Walled(bench.session), parallel=True)


def job(**engine: Any) -> Any:
    query = "SELECT id, concat('row ', id) AS text FROM range(20)"
    return make_job("walled", prompts={"query": query, "key": "id"}, endpoint={"app": "echo"}, engine=engine)


def test_the_driver_makes_the_calls_where_tasks_have_no_network(walled: Bench) -> None:
    made = walled.plan(job(kind="responses")).plan
    assert made.engine.fan_out == "driver"
    assert made.engine.fan_out_reason.startswith("Spark's tasks do not reach 127.0.0.1: ")
    row = walled.run(job(kind="responses"))
    assert (row.status, row.ok, row.tasks) == ("done", 20, 1)


def test_executors_that_are_asked_for_and_have_no_network_are_refused_before_a_call(walled: Bench) -> None:
    with pytest.raises(DefinitionError, match=r"do not reach 127\.0\.0\.1"):
        walled.run(job(kind="responses", fan_out="executors"))
    assert walled.figures().get("calls", 0) == 0


def test_nobody_looks_where_the_driver_calls_anyway(walled: Bench) -> None:
    assert walled.plan(job(kind="responses", fan_out="driver")).plan.engine.fan_out_reason == "as the job says"
