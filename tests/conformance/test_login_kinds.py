"""Every login the SDK knows that can be had here asks an endpoint, from a job to its outputs."""

from collections.abc import Callable
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path

import pytest

from databricks_cli import write_databricks_cli
from rowcall.adapters.workspace_login import WorkspaceLogin, login_kind
from support import Bench, make_job, texts

ROWS = 12


@dataclass(frozen=True)
class Place:
    """Where a test may put a login, and what the sandbox gives to make one."""

    bench: Bench
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    @property
    def profiles(self) -> ConfigParser:
        found = ConfigParser(interpolation=None)
        found.read(self.bench.sandbox.config_file)
        return found

    def settings(self, kind: str = "") -> dict[str, str]:
        return dict(self.profiles[self.bench.sandbox.profile + kind])

    def environment(self, **variables: str) -> WorkspaceLogin:
        for name, value in variables.items():
            self.monkeypatch.setenv(f"DATABRICKS_{name.upper()}", value)
        return WorkspaceLogin(config_file=str(self.folder / "there-is-none"))


def by_profile(place: Place) -> WorkspaceLogin:
    return WorkspaceLogin(place.bench.sandbox.profile, place.bench.sandbox.config_file)


def by_file(place: Place) -> WorkspaceLogin:
    file = ConfigParser(interpolation=None, default_section="")
    file["DEFAULT"] = place.settings()
    with (place.folder / "databrickscfg").open("w") as opened:
        file.write(opened)
    return WorkspaceLogin(config_file=str(place.folder / "databrickscfg"))


def by_environment(place: Place) -> WorkspaceLogin:
    settings = place.settings()
    del settings["auth_type"]
    return place.environment(**settings)


def by_personal_access_token(place: Place) -> WorkspaceLogin:
    return WorkspaceLogin(f"{place.bench.sandbox.profile}-pat", place.bench.sandbox.config_file)


def by_file_of_identity(place: Place) -> WorkspaceLogin:
    return WorkspaceLogin(f"{place.bench.sandbox.profile}-oidc", place.bench.sandbox.config_file)


def by_variable_of_identity(place: Place) -> WorkspaceLogin:
    settings = place.settings("-oidc")
    token = Path(settings["oidc_token_filepath"]).read_text()
    return place.environment(host=settings["host"], client_id=settings["client_id"], oidc_token=token)


def by_command_line(place: Place) -> WorkspaceLogin:
    settings = place.settings()
    write_databricks_cli(place.folder, settings["client_id"], settings["client_secret"])
    place.monkeypatch.setenv("PATH", str(place.folder), prepend=":")
    return place.environment(host=settings["host"], auth_type="databricks-cli")


LOGINS: dict[Callable[[Place], WorkspaceLogin], str] = {
    by_profile: "oauth-m2m",
    by_file: "oauth-m2m",
    by_environment: "oauth-m2m",
    by_personal_access_token: "pat",
    by_file_of_identity: "file-oidc",
    by_variable_of_identity: "env-oidc",
    by_command_line: "databricks-cli",
}


@pytest.mark.parametrize(("log_in", "auth_type"), LOGINS.items(), ids=lambda value: getattr(value, "__name__", None))
def test_a_job_runs_with_every_kind_of_login(
    bench: Bench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    log_in: Callable[[Place], WorkspaceLogin],
    auth_type: str,
):
    bench.login = log_in(Place(bench, tmp_path, monkeypatch))
    kind = login_kind(bench.login)
    assert (kind.auth_type, kind.oauth, kind.ambient) == (auth_type, auth_type != "pat", False)
    name = f"login_{log_in.__name__}"
    bench.fill(name, texts(ROWS))
    job = make_job(
        name,
        endpoint={"app": "echo"} if kind.oauth else {"serving": "echo"},
        engine={"kind": "responses", "concurrency": 4, "fan_out": "driver"},
    )
    done = bench.run(job).check()
    assert (done.ok, done.failed, done.retries) == (ROWS, 0, 0)
    assert [row["outcome"] for row in bench.outputs(job)] == ["ok"] * ROWS


def test_tasks_beside_the_data_log_in_themselves(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    bench.login = by_file_of_identity(Place(bench, tmp_path, monkeypatch))
    bench.fill("login_executors", texts(ROWS))
    job = make_job("login_executors", engine={"kind": "responses", "concurrency": 4, "fan_out": "executors"})
    done = bench.run(job).check()
    assert (done.ok, done.failed) == (ROWS, 0)
