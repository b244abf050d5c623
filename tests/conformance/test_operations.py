"""The operations guide of the README: its SQL runs on a SQL warehouse, where that has the statement, and its sums add up."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from rowcall.adapters.packaged import sql_texts
from rowcall.adapters.warehouse import WarehouseSqlSession
from rowcall.core import sql
from rowcall.core.doctor.principal import Principal
from rowcall.core.doctor.rights import Need, Place, Securable, grant, needs
from rowcall.sandbox.process import SandboxProcess

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
GUIDE = README.split("\n## Operations\n")[1].split("\n## ")[0]
BLOCKS = re.findall(r"^```sql\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
STATEMENTS = [one.strip() for block in BLOCKS for one in block.split(";\n") if one.strip()]
ONLY_DATABRICKS = ("GRANT", "VACUUM", "ALTER")
"""What the embedded lakehouse does not have."""


def rows(header: str) -> list[list[str]]:
    """The rows of the guide's table whose header begins so."""
    lines = GUIDE.split(f"\n| {header} |")[1].splitlines()[2:]
    shown = lines[: next(at for at, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in shown]


def test_the_guide_has_all_the_sql_of_the_readme() -> None:
    assert BLOCKS
    assert all(block in GUIDE for block in BLOCKS)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_statements_parse(statement: str) -> None:
    (parsed,) = sqlglot.parse(statement, dialect="databricks")
    known = statement.startswith(("SELECT", "DELETE", "ALTER", "DROP TABLE", "DROP SCHEMA"))
    assert parsed is not None
    assert not (known and isinstance(parsed, exp.Command))


def here(statement: str) -> str:
    """A statement of the guide on this test's tables. The embedded lakehouse knows no `current_date()` in a DELETE."""
    own = re.sub(r"main\.(rowcall|demo)\b", "main.guide", statement)
    today = f"DATE '{datetime.now(UTC).date().isoformat()}'"
    return own.replace("current_date()", today) if own.startswith("DELETE") else own


@pytest.fixture(scope="module")
def installed(warehouse: WarehouseSqlSession) -> WarehouseSqlSession:
    """A warehouse with the tables of a job that is called as the guide's; other tests' shared tables are left alone."""
    texts = sql_texts()
    warehouse.create_schema("`main`.`guide`")
    for name in ("runs", "traces"):
        warehouse.execute(sql.fill(texts, f"tables/{name}", **{name: f"main.guide.{name}"}))
    warehouse.execute("CREATE TABLE IF NOT EXISTS main.guide.topics (text_id STRING) USING DELTA")
    warehouse.execute(sql.create_volume(texts, ("main", "guide", "rowcall")))
    return warehouse


@pytest.mark.parametrize("statement", [one for one in STATEMENTS if not one.startswith(ONLY_DATABRICKS)])
def test_statements_run(installed: WarehouseSqlSession, statement: str) -> None:
    installed.execute(here(statement))


def test_what_the_guide_drops_is_gone(installed: WarehouseSqlSession, sandbox: SandboxProcess) -> None:
    for statement in (one for one in STATEMENTS if one.startswith("DROP")):
        installed.execute(here(statement))
    home = Path(sandbox.config_file).parent
    assert not (home / "lakehouse" / "main" / "guide").exists()
    assert not (home / "volumes" / "main" / "guide" / "rowcall").exists()


def test_old_traces_go_and_new_ones_stay(installed: WarehouseSqlSession) -> None:
    assert sql.column_definitions(sql_texts()["tables/traces"])["date"] == "date DATE"
    installed.create_schema("`main`.`guide`")
    installed.execute("DROP TABLE IF EXISTS main.guide.traces")
    days = ", ".join(f"({age}, current_date() - INTERVAL {age} DAYS)" for age in (89, 91))
    installed.execute(f"CREATE TABLE main.guide.traces USING DELTA AS SELECT * FROM VALUES {days} AS t(age, date)")
    (delete,) = (one for one in STATEMENTS if one.startswith("DELETE"))
    installed.execute(here(delete))
    assert [row["age"] for row in installed.query("SELECT age FROM main.guide.traces")] == [89]


def test_the_column_that_an_upgrade_adds_is_one_of_the_table() -> None:
    (alter,) = (one for one in STATEMENTS if one.startswith("ALTER"))
    column = re.findall(r"\((.*)\)", alter)[0]
    assert column in sql.column_definitions(sql_texts()["tables/runs"]).values()


def test_the_sums_of_the_example_add_up() -> None:
    found: list[float] = []
    for _, example, rate in rows("What bounds it"):
        first, *divisors = (float(number) for number in example.split(" ÷ "))
        for divisor in divisors:
            first /= divisor
        assert first == float(rate)
        found.append(first)
    assert f"Here it is {min(found):g} rows a second, 50,000 rows in {50_000 / min(found):,.0f} s" in GUIDE
    assert f"{min(found):g} × 4 = {min(found) * 4:g} calls at once" in GUIDE


def test_the_grants_of_the_guide_are_all_that_a_first_run_and_later_ones_need() -> None:
    """Each right that the code asks for is granted in the block, on the thing itself or above it."""
    robot = Principal("8f1c9a2e-0000-4000-8000-000000000001")
    granted = [one for one in STATEMENTS if one.startswith("GRANT")]
    assert all(one.endswith(f"TO {robot.quoted}") for one in granted)
    for there in (True, False):
        for need in needs(places(), lambda one, there=there: there or one.kind in ("catalog", "schema")):
            for right in need.privileges:
                above = [grant_on(granted, Securable("schema", need.on.parts[:2])), grant_on(granted, need.on.catalog)]
                assert right.replace("_", " ") in ", ".join(above), (need, granted)
    assert grant(Need(Securable("catalog", ("main",)), ("USE_CATALOG",)), robot).rstrip(";") in granted


def places() -> list[Place]:
    tables = [Securable("table", ("main", *names)) for names in (("rowcall", "traces"), ("rowcall", "runs"))]
    return [
        Place(Securable("table", ("main", "demo", "topics")), beside=True),
        *map(Place, tables),
        Place(Securable("table", ("main", "demo", "texts")), written=False, made=False),
        Place(Securable("volume", ("main", "demo", "rowcall"))),
    ]


def grant_on(granted: list[str], on: Securable) -> str:
    """The rights granted on something."""
    where = f" ON {on.kind.upper()} {on.bare} TO "
    return ", ".join(one.removeprefix("GRANT ").split(" ON ")[0] for one in granted if where in one)
