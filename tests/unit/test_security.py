"""What must not be possible: to be reached from outside this machine, to run what a file or a server sends, to leave one's folder,
one's statement or one's line."""

import ast
import json
import os
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rowcall import api
from rowcall.adapters.journal import FolderJournals
from rowcall.adapters.volume_journal import VolumeJournals
from rowcall.adapters.workspace_login import WorkspaceLogin
from rowcall.core import sql
from rowcall.core.definition import JobDefinition
from rowcall.core.errors import DefinitionError, SetupError
from rowcall.core.job_file.reader import parse_job
from rowcall.core.names import is_table_name
from rowcall.sandbox.lakehouse import Lakehouse
from rowcall.sandbox.process import SandboxProcess
from support import Bench, make_job

ROOT = Path(__file__).parents[2]
JOB = """
job: safe
prompts: {table: main.a.b, key: id}
request: {input: "{text}"}
endpoint: {app: echo}
outputs: {table: main.a.c}
"""


# Who can be reached


@dataclass(frozen=True, slots=True)
class Listener:
    pid: int
    address: str
    port: int


def listeners(pids: set[int]) -> list[Listener]:
    """The TCP sockets that processes listen on, as Linux tells it."""
    inodes: dict[str, int] = {}
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                target = str(descriptor.readlink())
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes[target[8:-1]] = pid
    found: list[Listener] = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            inode = line.split()[9]
            if state == "0A" and inode in inodes:
                address, _, port = local.partition(":")
                found.append(Listener(inodes[inode], _address(address), int(port, 16)))
    return found


def _address(words: str) -> str:
    """An address from the words of 4 bytes in which the kernel writes it."""
    packed = b"".join(struct.pack("=I", int(words[at : at + 8], 16)) for at in range(0, len(words), 8))
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def descendants(pid: int) -> set[int]:
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux tells who listens")
def test_all_that_is_started_listens_on_this_machine_only(
    house: Lakehouse, sandbox: SandboxProcess, warehouse_bench: Bench
) -> None:
    assert warehouse_bench.session.query("SELECT 1 AS one")
    pids = descendants(os.getpid())
    found = listeners(pids)
    ports = {listener.port for listener in found}
    assert int(sandbox.host.rpartition(":")[2]) in ports
    workers = {listener.pid for listener in found}
    assert {house._server.pid, sandbox.process.pid} <= workers
    assert len(workers) >= 3, "the lakehouse of the warehouse is one, too"
    assert {listener.address for listener in found} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux tells who listens")
def test_one_that_listens_to_everybody_would_be_seen() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        assert Listener(os.getpid(), "0.0.0.0", port) in listeners({os.getpid()})


# What is run

FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "shelve",
    "marshal",
    "jsonpickle",
    "joblib",
    "code",
    "codeop",
}
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__", "breakpoint", "input"),
    *("os.system", "os.popen", "tempfile.mktemp", "yaml.load", "yaml.full_load", "yaml.unsafe_load"),
    *("yaml.load_all", "pd.read_pickle", "pandas.read_pickle", "ssl._create_unverified_context"),
}
FORBIDDEN_BASES = {"yaml.Loader", "yaml.FullLoader", "yaml.UnsafeLoader"}
FORBIDDEN_ARGUMENTS = {
    ("shell", True),
    ("verify", False),
    ("verify_ssl", False),
    ("check_hostname", False),
    ("ssl", False),
}


def dangers(text: str) -> Iterator[str]:
    """What of a module's text runs or believes what it is given."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names):
                yield from (name.name for name in names if name.name.partition(".")[0] in FORBIDDEN_MODULES)
            case ast.ImportFrom(module=str() as module):
                yield from [module] if module.partition(".")[0] in FORBIDDEN_MODULES else []
            case ast.Call(func, _, keywords):
                called = ast.unparse(func)
                yield from [called] if called in FORBIDDEN_CALLS else []
                for keyword in keywords:
                    if (
                        isinstance(keyword.value, ast.Constant)
                        and (keyword.arg, keyword.value.value) in FORBIDDEN_ARGUMENTS
                    ):
                        yield f"{called}({keyword.arg}={keyword.value.value})"
            case ast.ClassDef(bases=bases):
                yield from (base for base in map(ast.unparse, bases) if base in FORBIDDEN_BASES)
            case ast.Attribute() if ast.unparse(node) in FORBIDDEN_BASES:
                yield ast.unparse(node)
            case _:
                pass


def test_nothing_runs_or_unpickles_what_it_is_given() -> None:
    modules = {path: list(dangers(path.read_text(encoding="utf-8"))) for path in (ROOT / "src").rglob("*.py")}
    assert len(modules) > 100
    assert {path: found for path, found in modules.items() if found} == {}


@pytest.mark.parametrize(
    "text",
    [
        *("import pickle", "from cloudpickle import loads", "eval(x)", "exec(x)", "__import__(x)", "os.system(x)"),
        *(
            "yaml.load(x, yaml.SafeLoader)",
            "yaml.unsafe_load(x)",
            "subprocess.run(x, shell=True)",
            "get(x, verify=False)",
        ),
        *("class L(yaml.Loader): pass", "f(Loader=yaml.FullLoader)", "with a(): b = lambda: eval(c)"),
    ],
)
def test_what_is_dangerous_would_be_seen(text: str) -> None:
    assert list(dangers(text))


# Job files

BOMB = "".join(
    f"{one}: &{one} [{', '.join([f'*{other}'] * 9)}]\n" for other, one in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "job: !!python/object/apply:os.system ['touch pwned']",
            "the tag !!python/object/apply:os.system is not supported",
        ),
        ("job: !!python/name:os.system ''", "the tag !!python/name:os.system is not supported"),
        ("!!python/object/new:os.system [touch pwned]", "the tag !!python/object/new:os.system is not supported"),
        (f"a: &a [{'x, ' * 9}]\n{BOMB}", "more than 100,000 values once anchors are expanded"),
        ("a: &a\n  b: *a\n", "an anchor holds itself"),
        ("a: " + "[" * 2_000, "nested too deeply"),
        ("a: " + "{b: " * 2_000, "nested too deeply"),
        (JOB + "job: other", '"job" is already given on line 2'),
        (JOB + "description: " + "x" * 300_000, "the file has more than 250,000 characters"),
    ],
    ids=["apply", "name", "new", "bomb", "loop", "deep list", "deep mapping", "twice", "long"],
)
@pytest.mark.timeout(60)
def test_a_hostile_job_file_is_refused_in_words(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DefinitionError, match=re.escape(said)):
        parse_job(text, "hostile.yml")
    assert not list(tmp_path.iterdir())


def test_a_file_without_end_is_read_no_further_than_a_job_can_be_long() -> None:
    with pytest.raises(DefinitionError, match="more than 250,000 characters"):
        api.load_job("/dev/zero")


# Names

LEAVING = ["..", ".", "../up", "a/b", "/etc", "a\x00b", "", "~", "a\nb", "a\\b", "．．", ".hidden"]


@pytest.mark.parametrize("name", LEAVING)
def test_no_name_of_a_run_or_a_job_leads_out_of_the_journals(name: str, tmp_path: Path) -> None:
    for journals in (FolderJournals(tmp_path), VolumeJournals(WorkspaceLogin("none"), "/Volumes/a/b/c")):
        with pytest.raises(SetupError, match="cannot be the name of a job's or a run's folder"):
            journals.recipe("job", name)
        with pytest.raises(SetupError, match="cannot be the name of a job's or a run's folder"):
            journals.recipe(name, "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [*LEAVING, "a b", "a'b", "a`b", "a;b", "ａ", "1a", "a" * 64, "job\n", "a$b"])
def test_a_job_has_a_plain_name(name: str) -> None:
    with pytest.raises(ValueError, match="String should match pattern"):
        make_job("x", job=name)


@pytest.mark.parametrize(
    "name",
    [
        *("a;b", "a b", "a'b", 'a"b', "a/*b", "a\nb", "a.b.c.d", "..", "a..b", "a`b", "`a", "``", "a.`b`c", ""),
        *(
            "main.a.b; DROP TABLE x",
            "main.a.b -- ",
            "(SELECT 1)",
            "a\u2028b",
            "a" * 300,
            f"main.`{'x' * 256}`.b",
            "$x",
            "${x}",
        ),
    ],
)
def test_what_is_no_name_is_no_table(name: str) -> None:
    assert not is_table_name(name)
    for made in ({"prompts": {"table": name, "key": "id"}}, {"outputs": {"table": name}}, {"runs": {"table": name}}):
        with pytest.raises(ValueError, match="expected a table name"):
            make_job("x", **made)
    with pytest.raises(DefinitionError, match="expected a table name"):
        parse_job(JOB.replace("main.a.b", '"${table}"') + "variables: {table: x}\n", "x.yml", {"table": name or " "})


@pytest.mark.parametrize(
    "name", ["`a;b`", "`a``; DROP TABLE x --`", "`../up`", "`a\nb`", "`'`", "ｍａｉｎ", "`" + "x" * 255 + "`"]
)
def test_an_odd_name_stays_inside_its_backticks(name: str) -> None:
    quoted = sql.quote_table(name)
    assert re.fullmatch(r"`(?:[^`]|``)+`", quoted)


SECRETS = ["{{secrets/../key}}/x", "{{secrets/a/b/c}}", "{{secrets/a/}}", "{{secrets/a/b}} x", "env:A B", "env:"]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_has_a_plain_name(secret: str) -> None:
    endpoint = {"url": "http://127.0.0.1:1", "model": "m", "api": "chat", "api_key": secret}
    with pytest.raises(ValueError, match="String should match pattern"):
        make_job("x", endpoint=endpoint)


def test_a_variable_is_filled_in_once_and_by_what_it_is_called(tmp_path: Path) -> None:
    text = JOB.replace("main.a.b", '"${a}.x.y"').replace('"{text}"', '"${b}"')
    made = parse_job(text, "x.yml", {"a": "main", "b": "${a} '; DROP TABLE x; --"})
    assert (made.prompts.table, made.request.input) == ("main.x.y", "${a} '; DROP TABLE x; --")


# What a server says

HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202eevil\u2066\u200b'; DROP TABLE x; --\n` ../../etc \"}{\u2028end"


def journal_files(bench: Bench) -> list[Path]:
    return [path for path in (bench.folder / "journal").rglob("*") if path.is_file()]


def test_a_hostile_answer_is_an_answer_and_nothing_else(bench: Bench) -> None:
    bench.behave(answer=HOSTILE)
    job = make_job("hostile_answer")
    bench.fill("hostile_answer", [{"id": f"../../{n}'; --", "text": f"row {n}"} for n in range(3)])
    before = set(bench.folder.rglob("*"))
    assert bench.run(job).ok == 3
    assert [out["answer"] for out in bench.outputs(job)] == [HOSTILE] * 3
    assert journal_files(bench) == []
    assert set(bench.folder.rglob("*")) - before <= {
        bench.folder / "journal",
        bench.folder / "journal" / job.job,
    }


def failing_job(**changes: Any) -> str:
    job = JobDefinition.model_validate(
        {
            "job": "hostile",
            "prompts": {"query": "SELECT id, 'x' AS text FROM range(2)", "key": "id"},
            "request": {"input": "{text} {id}"},
            "endpoint": {"app": "echo"},
            "outputs": {"table": "main.demo.hostile"},
            **changes,
        }
    )
    return json.dumps(job.model_dump(mode="json", exclude_unset=True, by_alias=True))


@pytest.mark.timeout(180)
def test_nothing_a_server_says_reaches_a_terminal_as_it_is(
    bench: Bench, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    bench.behave(faults=[{"status": 400, "body": {"error_code": HOSTILE, "message": HOSTILE}}])
    (tmp_path / "hostile.yml").write_text(failing_job())
    login = {"DATABRICKS_CONFIG_FILE": sandbox.config_file, "DATABRICKS_CONFIG_PROFILE": sandbox.profile}

    def call(*words: str) -> "subprocess.CompletedProcess[bytes]":
        command = [sys.executable, "-m", "rowcall", *words]
        return subprocess.run(
            command, cwd=tmp_path, env={**os.environ, **login}, capture_output=True, timeout=60, check=False
        )

    done = call("run", "hostile.yml", "--json")
    assert done.returncode == 3, done.stderr.decode()
    row = json.loads(done.stdout)
    failures = call("failures", row["run_id"])
    listed = call("failures", row["run_id"], "--json")
    (first, _) = json.loads(listed.stdout)
    assert "DROP TABLE x" in first["error"]["message"]
    assert b"DROP TABLE x" in failures.stdout
    outside = [
        call("show", "../.."),
        call("failures", "'; DROP TABLE x; --"),
        call("show", HOSTILE.replace("\x00", "")),
    ]
    assert [one.returncode for one in outside] == [1, 1, 1]
    assert all(b"has no run" in one.stderr for one in outside)
    for one in (done, failures, listed, *outside):
        shown = (one.stdout + one.stderr).decode()
        assert not [char for char in shown if char != "\n" and (ord(char) < 32 or 0x7F <= ord(char) < 0xA0)]
        assert not set(shown) & set("\u202e\u2066\u200b\u2028")
