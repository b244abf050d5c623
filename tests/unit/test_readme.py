"""What the README says is so: its jobs parse, its commands exist, its tables are the code's, its first job runs."""

import ast
import inspect
import json
import re
import shlex
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.testing import CliRunner

import rowcall
from fault_table import Bounds, Case, read_cases, readme_rows
from rowcall import cli
from rowcall.core.definition import JobDefinition, Money, Request
from rowcall.core.job_file.reader import parse_jobs
from rowcall.core.outcome import retryable, stops_run
from rowcall.core.ports import SqlSession
from rowcall.core.prompt import render_request
from rowcall.core.records import ErrorKind, Outcome

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)(`+)(?!`) ?(.+?) ?(?<!`)\1(?!`)")
COMMANDS: Any = typer.main.get_command(cli.app)


def fences(kind: str, text: str = README) -> list[str]:
    return [match["body"] for match in FENCE.finditer(text) if match["kind"] == kind]


def spans(text: str) -> list[str]:
    """What stands in backticks outside code blocks."""
    return [match[2] for match in SPAN.finditer(FENCE.sub("", text))]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def table(*header: str) -> list[list[str]]:
    """The rows of the README's only table whose header starts so."""
    lines = README.splitlines()
    (start,) = [at for at, line in enumerate(lines) if line.startswith("|") and cells(line)[: len(header)] == [*header]]
    rows: list[list[str]] = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(cells(line))
    return rows


def code(cell: str) -> str:
    """A cell without its backticks."""
    match = SPAN.fullmatch(cell)
    return match[2] if match else cell


def console() -> list[tuple[str, list[str]]]:
    """Commands in console blocks, each with the output shown."""
    found: list[tuple[str, list[str]]] = []
    for block in fences("console"):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def test_code_blocks_are_of_a_kind_that_is_checked() -> None:
    checked = {"console", "python", "sql", "text", "yaml", "yaml task"}
    assert {match["kind"] for match in FENCE.finditer(README)} == checked


@pytest.mark.parametrize("text", fences("yaml"))
def test_jobs_parse(text: str) -> None:
    assert parse_jobs(text, "README.md")


def test_first_job_is_short() -> None:
    assert len(fences("yaml")[0].splitlines()) == 12


# Commands


def rowcall_commands() -> list[str]:
    shown = [line for line, _ in console()] + spans(README)
    return [line.replace("<", "").replace(">", "") for line in shown if re.match(r"rowcall [a-z]", line)]


def parse_command(words: Sequence[str]) -> None:
    """Raises where there is no such command, option or argument; runs nothing."""
    name, *arguments = words
    assert name in COMMANDS.commands, name
    COMMANDS.commands[name].make_context(name, [*arguments])


@pytest.mark.parametrize("line", rowcall_commands())
def test_commands_and_options_exist(line: str) -> None:
    parse_command(shlex.split(line)[1:])


def test_a_made_up_option_would_be_noticed() -> None:
    with pytest.raises(Exception, match="No such option"):
        parse_command(["run", "jobs/topics.yml", "--made-up"])


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = re.findall(r"\bmake ([a-z-]+)", "\n".join([*spans(README), *fences("console")]))
    assert named
    assert set(named) <= targets
    (listed,) = re.findall(r"^Makefile +(.+)$", README, re.MULTILINE)
    assert set(listed.split(", ")) == targets


def tasks() -> list[dict[str, Any]]:
    """The tasks that run something, those of a loop instead of the loop."""
    shown = [task for block in fences("yaml task") for task in yaml.safe_load(block)["tasks"]]
    return [task["for_each_task"]["task"] if "for_each_task" in task else task for task in shown]


@pytest.mark.parametrize("task", tasks(), ids=lambda task: task["task_key"])
def test_task_on_databricks_runs_an_entry_point_with_a_command_there_is(task: dict[str, Any]) -> None:
    wheel = task["python_wheel_task"]
    scripts = re.search(r"^\[project\.scripts\]\n(.+)$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert scripts is not None
    assert wheel["package_name"] == "rowcall"
    assert scripts[1].startswith(f"{wheel['entry_point']} =")
    parse_command(wheel["parameters"])
    wheels = re.findall(r"[\w.-]+\.whl", README)
    assert set(wheels) == {f"rowcall-{rowcall.__version__}-py3-none-any.whl"}


# Python


@pytest.mark.parametrize("text", fences("python"))
def test_python_uses_what_rowcall_exports(text: str) -> None:
    tree = ast.parse(text)
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "rowcall"
    }
    assert used
    assert used <= set(rowcall.__all__)
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        _check_call(call)


def _check_call(call: ast.Call) -> None:
    """A call of a function of rowcall fits its signature, and a job given as a mapping is one."""
    match call.func:
        case ast.Attribute(ast.Name("rowcall"), name):
            given = {keyword.arg: None for keyword in call.keywords if keyword.arg}
            inspect.signature(getattr(rowcall, name)).bind(*call.args, **given)
        case ast.Attribute(_, "model_validate"):
            assert JobDefinition.model_validate(ast.literal_eval(call.args[0])).job
        case _:
            pass


def test_python_named_in_the_text_is_exported() -> None:
    not_built = README.split("## Not built yet")[1]
    said = [span for span in spans(README.replace(not_built, "")) if span.startswith("rowcall.")]
    names = {match[1] for span in said if (match := re.match(r"rowcall\.(\w+)\(", span))}
    assert names <= set(rowcall.__all__)
    unbuilt = {match[1] for span in spans(not_built) if (match := re.fullmatch(r"rowcall\.(\w+)", span))}
    assert not unbuilt & set(rowcall.__all__)


# Tables


def job_keys(model: type[BaseModel], prefix: str = "") -> dict[str, str]:
    """Every key a job may have, with its default as the README writes it."""
    found: dict[str, str] = {}
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        inner = [each for each in _models(field.annotation) if each is not Money]
        if not inner or not (field.is_required() or field.default_factory):
            found[key] = _default(field)
        parts = (field.annotation, *typing.get_args(field.annotation))
        many = any(typing.get_origin(part) in (list, tuple) for part in parts)
        for each in inner:
            found |= job_keys(each, f"{key}[]." if many else f"{key}.")
    return found


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _models(part)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ("", {}, []):
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}s" if isinstance(value, float) else str(value)


def test_keys_and_defaults_of_a_job() -> None:
    said = {code(key): code(default) for key, default, _ in table("Key", "Default")}
    assert said == job_keys(JobDefinition)


def test_exit_codes() -> None:
    meaning = {cli.OK: "answered", cli.FAILED: "stopped", cli.WRONG_DEFINITION: "definition", cli.ROWS_FAILED: "rows"}
    said = {int(number): words for number, words in table("Exit code")}
    assert said.keys() == meaning.keys()
    assert all(meaning[number] in words for number, words in said.items())


def test_outcomes() -> None:
    assert [code(name) for name, _ in table("Outcome")] == [outcome.value for outcome in Outcome]


def test_error_kinds() -> None:
    again, stop, row = ({ErrorKind(kind) for kind in spans(kinds)} for kinds, _ in table("`error.kind`"))
    assert again == {kind for kind in ErrorKind if retryable(kind)}
    assert stop == {kind for kind in ErrorKind if stops_run(kind)}
    assert row == set(ErrorKind) - again - stop


@pytest.mark.parametrize("row", table("Text", "Is sent as"), ids=lambda row: code(row[0]))
def test_placeholders(row: list[str], session: SqlSession) -> None:
    template, expected = (code(cell) for cell in row)
    people = (
        "SELECT 'Ann' AS name, CAST(NULL AS STRING) AS nickname, named_struct('city', 'Rome') AS address, "
        "'Ann' AS `first name`, array('a', 'b') AS tags"
    )
    rendered = render_request(Request(input=template), session.columns(people))
    (found,) = session.query(f"SELECT {rendered.json} AS request FROM ({people}) AS p")
    assert json.loads(str(found["request"]))["messages"][-1]["content"] == expected


# The tree


def tree_map() -> list[str]:
    """The paths in the map of the tree, folders with a slash at the end."""
    (block,) = fences("text")
    paths: list[str] = []
    above: dict[int, str] = {}
    for line in block.splitlines():
        indent = len(line) - len(line.lstrip())
        parent = max((depth for depth in above if depth < indent), default=None)
        paths.append(("" if parent is None else above[parent]) + line.split()[0])
        above = {depth: path for depth, path in above.items() if depth < indent} | {indent: paths[-1]}
    return paths


@pytest.mark.parametrize("path", tree_map())
def test_paths_in_the_map_exist(path: str) -> None:
    assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file()


def test_map_has_every_package_and_module() -> None:
    source = ROOT / "src" / "rowcall"
    modules = [path for path in source.glob("*.py") if not path.name.startswith("__")]
    packages = [path.parent for path in source.rglob("__init__.py") if path.parent != source]
    folders = [path for path in (ROOT / "sql").iterdir() if any(path.glob("*.sql"))]
    names = [path.relative_to(ROOT).as_posix() for path in modules]
    names += [f"{path.relative_to(ROOT).as_posix()}/" for path in (*packages, *folders)]
    assert set(names) <= set(tree_map())


def paths_in_text() -> list[str]:
    found = [span for span in spans(README) if re.match(r"(src|sql|tests|jobs|\.ci)/", span) and "<" not in span]
    return sorted({*found, "pyproject.toml"} - {"jobs/topics.yml"})


@pytest.mark.parametrize("path", paths_in_text())
def test_paths_in_the_text_exist(path: str) -> None:
    assert (ROOT / path).exists()


def test_pictures_exist() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert pictures
    assert [picture for picture in pictures if not (ROOT / picture).is_file()] == []


def test_promises_have_tests() -> None:
    for _, _, where in table("Promise"):
        for path in spans(where):
            named = ROOT / path
            assert named.is_file() or any(named.rglob("test_*.py")), path


# Faults


def test_faults_become_what_the_tests_of_them_expect() -> None:
    assert table("Fault") == readme_rows(read_cases())


def test_a_fault_has_one_row_with_how_rows_end_and_how_many_calls_that_takes() -> None:
    errors = {"timeout": Bounds(2, 2), "connection": Bounds(1, 3)}
    passes = Case("500", "passes", "asked again", Bounds(12, 12), ok=6)
    stays = Case("500", "stays", "given up", Bounds(8, 18), ok=1, errors=errors)
    stops = Case("403", "stays", "the run stops", Bounds(1, 6), run="stopped")
    assert readme_rows([passes, stays, stops]) == [
        ["500", "6 ok · 12 calls: asked again", "1 ok, 2 `timeout`, 1–3 `connection` · 8–18 calls: given up"],
        ["403", "–", "run stops · 1–6 calls: the run stops"],
    ]


# The first job


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the README's job, where the demo has run."""
    folder = tmp_path_factory.mktemp("newcomer")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("DATABRICKS_RUNTIME_VERSION", "SPARK_REMOTE"):
            patch.delenv(name, raising=False)
        Path("jobs").mkdir()
        Path("jobs/topics.yml").write_text(fences("yaml")[0], encoding="utf-8")
        demo = CliRunner().invoke(cli.app, ["demo"])
        assert demo.exit_code == cli.OK, demo.output
        yield folder


def masked(line: str) -> str:
    """A line of output without its figures, which differ between machines."""
    return re.sub(r"\d[\d,.]*", "#", re.sub(r" · [^·]* (s|ms)$", "", line.strip()))


def test_first_job_does_what_the_readme_shows(newcomer: Path) -> None:
    before_databricks = [each for each in console() if "--sandbox" in each[0]]
    assert [line.split()[1] for line, _ in before_databricks] == ["plan", "run", "run"]
    for line, shown in before_databricks:
        result = CliRunner().invoke(cli.app, shlex.split(line)[1:])
        assert result.exit_code == cli.OK, result.output
        printed = [masked(each) for each in result.output.splitlines()]
        assert [each for each in map(masked, shown) if each not in printed] == []
    _check_outputs(newcomer / ".rowcall/lakehouse/main/demo/topics")


def _check_outputs(folder: Path) -> None:
    """The outputs table has the columns and the rows that the README shows."""
    import deltalake

    outputs = deltalake.DeltaTable(str(folder))
    fields = json.loads(outputs.schema().to_json())["fields"]
    said = README.split("The outputs table has one row per key")[1].split("Every column")[0]
    assert [field["name"] for field in fields] == ["text_id", *spans(said)]
    assert [field["name"] for field in fields if not field["metadata"].get("comment")] == []
    rows = {row["text_id"]: row for row in outputs.to_pyarrow_table().to_pylist()}
    assert {row["outcome"] for row in rows.values()} == {"ok"}
    header, shown = ["text_id", "answer.sentiment", "answer.summary", "outcome", "attempts"], table("text_id")
    assert shown == [[str(_reach(rows[row[0]], column)) for column in header] for row in shown]


def _reach(row: dict[str, Any], column: str) -> object:
    value: Any = row
    for part in column.split("."):
        value = value[part]
    return value
