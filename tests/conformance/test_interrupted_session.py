"""A session that is interrupted at any moment of a statement goes on to serve: what gRPC was doing then is not left half done."""

import random
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rowcall.adapters.spark import SparkSqlSession
from rowcall.sandbox import lakehouse

TIMES = 80


@pytest.fixture
def own_session(tmp_path: Path) -> Iterator[SparkSqlSession]:
    house = lakehouse.open_lakehouse(tmp_path / "house")
    made = SparkSqlSession(house.spark, lakehouse.KIND, house)
    made.create_schema("`main`.`test`")
    before = signal.signal(signal.SIGALRM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    yield made
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    house.stop()


def test_that_is_interrupted_again_and_again_still_serves(own_session: SparkSqlSession, tmp_path: Path) -> None:
    session, path, chance = own_session, tmp_path / "rows.parquet", random.Random(7)
    session.execute("CREATE TABLE main.test.held USING DELTA AS SELECT id FROM range(10)")
    interrupted = 0
    for number in range(TIMES):
        pq.write_table(pa.table({"id": list(range(10 * number, 10 * number + 10))}), path)
        try:
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.001, 0.1))
            session.view_of_files("staged", [str(path)])
            session.execute(
                "MERGE INTO main.test.held AS t USING staged AS s ON t.id = s.id WHEN NOT MATCHED THEN INSERT *"
            )
        except KeyboardInterrupt:
            interrupted += 1
        with suppress(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, 0)
        assert session.query("SELECT 1 AS one") == [{"one": 1}]
    assert interrupted > TIMES // 10
