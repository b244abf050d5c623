"""A definition as a Databricks job: what it says becomes the job's, and what it leaves out is safe for calls that are paid."""

import json
from importlib.metadata import requires
from typing import Any

import pytest
from databricks.bundles.jobs import Job
from packaging.requirements import Requirement

from rowcall.core.bundle.job import OTLP, WAREHOUSE, Deployment, databricks_job
from rowcall.core.definition import JobDefinition

AT = Deployment("jobs/triage.yml", "./dist/*.whl")


def definition(**keys: Any) -> JobDefinition:
    job = {
        "job": "triage",
        "prompts": {"table": "main.sales.reviews", "key": "id"},
        "request": {"input": "{text}"},
        "endpoint": {"app": "agent"},
        "outputs": {"table": "main.sales.answers"},
    }
    return JobDefinition.model_validate({**job, **keys})


def job_of(at: Deployment = AT, **keys: Any) -> dict[str, Any]:
    """The job, as Databricks' own classes have it: they refuse what they do not know."""
    return dict(Job.from_dict(databricks_job(definition(**keys), at)).as_dict())  # type: ignore[arg-type]


def parameters(job: dict[str, Any]) -> list[str]:
    (task,) = job["tasks"]
    return task["python_wheel_task"]["parameters"]


def test_the_platform_repeats_nothing_that_is_paid() -> None:
    job = job_of()
    (task,) = job["tasks"]
    assert (task["max_retries"], task["disable_auto_optimization"]) == (0, True)
    assert (job["max_concurrent_runs"], job["queue"]) == (1, {"enabled": True})
    assert "schedule" not in job
    assert "trigger" not in job


@pytest.mark.parametrize(
    ("limits", "notifications", "cancelled", "late"),
    [
        ({}, {}, 86_400, 43_200),
        ({"deadline": "2h", "warm_up": "10m"}, {}, 7_200 + 600 + 3_600, 7_800),
        ({"deadline": "2h"}, {"late_after": "30m"}, 7_200 + 900 + 3_600, 1_800),
    ],
)
def test_a_run_that_hangs_is_noticed_and_cancelled(limits: Any, notifications: Any, cancelled: int, late: int) -> None:
    job = job_of(limits=limits, notifications=notifications)
    assert job["timeout_seconds"] == cancelled
    assert job["health"]["rules"] == [{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": late}]


def test_the_task_is_the_command_line() -> None:
    job = job_of(variables={"catalog": "main", "rows": 5, "careful": True})
    assert [(one["name"], one["default"]) for one in job["parameters"]] == [
        ("catalog", "main"),
        ("rows", "5"),
        ("careful", "true"),
    ]
    said = parameters(job)
    assert said[:3] == ["run", "${workspace.file_path}/jobs/triage.yml", "--json"]
    assert said[3:9] == [
        *("--var", "catalog={{job.parameters.catalog}}"),
        *("--var", "rows={{job.parameters.rows}}"),
        *("--var", "careful={{job.parameters.careful}}"),
    ]
    assert said[9:] == [
        *("--context", "databricks_job_id={{job.id}}"),
        *("--context", "databricks_run_id={{job.run_id}}"),
        *("--context", "databricks_task_run_id={{task.run_id}}"),
        *("--context", "bundle_target=${bundle.target}"),
    ]


def test_the_commit_is_kept() -> None:
    assert parameters(job_of(Deployment("j.yml", "rowcall", commit="abc")))[-2:] == ["--context", "git_commit=abc"]


def test_a_variable_of_the_bundle_is_the_default() -> None:
    job = job_of(Deployment("j.yml", "rowcall", frozenset({"catalog", "schema"})), variables={"catalog": "main"})
    assert {one["name"]: one["default"] for one in job["parameters"]} == {
        "catalog": "${var.catalog}",
        "schema": "${var.schema}",
    }
    assert "schema={{job.parameters.schema}}" in parameters(job)


def test_a_schedule() -> None:
    job = job_of(schedule={"cron": "0 0 6 * * ?", "timezone": "Europe/Berlin", "paused": True})
    assert job["schedule"] == {
        "quartz_cron_expression": "0 0 6 * * ?",
        "timezone_id": "Europe/Berlin",
        "pause_status": "PAUSED",
    }


@pytest.mark.parametrize(
    ("trigger", "cause"),
    [
        (
            {"tables": "main.sales.reviews"},
            {"table_update": {"table_names": ["main.sales.reviews"], "condition": "ANY_UPDATED"}},
        ),
        (
            {"tables": ["a.b.c", "a.b.d"], "condition": "all", "at_most_every": "1h", "quiet_for": "2m"},
            {
                "table_update": {
                    "table_names": ["a.b.c", "a.b.d"],
                    "condition": "ALL_UPDATED",
                    "min_time_between_triggers_seconds": 3_600,
                    "wait_after_last_change_seconds": 120,
                }
            },
        ),
        ({"files": "/Volumes/main/sales/in/"}, {"file_arrival": {"url": "/Volumes/main/sales/in/"}}),
        ({"every": "1 day"}, {"periodic": {"interval": 1, "unit": "DAYS"}}),
        ({"every": "6 hours"}, {"periodic": {"interval": 6, "unit": "HOURS"}}),
    ],
)
def test_a_trigger(trigger: Any, cause: Any) -> None:
    assert job_of(trigger=trigger)["trigger"] == cause
    assert job_of(trigger={**trigger, "paused": True})["trigger"] == {**cause, "pause_status": "PAUSED"}


def test_what_is_not_paused_leaves_it_to_the_target() -> None:
    """Development mode pauses what does not say that it is to run."""
    assert "pause_status" not in job_of(schedule={"cron": "0 0 6 * * ?"})["schedule"]


def test_serverless_unless_told_otherwise() -> None:
    job = job_of(compute={"libraries": ["unidecode==1.3"], "environment_version": "5"})
    spec = {"environment_version": "5", "dependencies": ["./dist/*.whl", "unidecode==1.3"]}
    assert job["environments"] == [{"environment_key": "job", "spec": spec}]
    assert job["tasks"][0]["environment_key"] == "job"
    assert "job_clusters" not in job


def test_a_job_cluster() -> None:
    job = job_of(compute={"cluster": {"node_type_id": "i3.xlarge", "num_workers": 2}, "libraries": ["unidecode==1.3"]})
    (cluster,) = job["job_clusters"]
    assert cluster["new_cluster"]["node_type_id"] == "i3.xlarge"
    assert cluster["new_cluster"]["data_security_mode"] == "SINGLE_USER"
    (task,) = job["tasks"]
    assert task["job_cluster_key"] == cluster["job_cluster_key"]
    assert task["libraries"] == [{"whl": "./dist/*.whl"}, {"pypi": {"package": "unidecode==1.3"}}]
    assert "environments" not in job


def test_a_cluster_installs_a_package_from_an_index() -> None:
    job = job_of(Deployment("j.yml", "rowcall==0.1.0"), compute={"cluster": {"node_type_id": "i3.xlarge"}})
    assert job["tasks"][0]["libraries"] == [{"pypi": {"package": "rowcall==0.1.0"}}]


def test_shards_are_tasks_beside_the_run_that_they_belong_to() -> None:
    job = job_of(compute={"shards": 3, "warehouse": "abc"}, variables={"catalog": "main"})
    run, shards = job["tasks"]
    assert "depends_on" not in shards
    assert json.loads(shards["for_each_task"]["inputs"]) == ["1/3", "2/3", "3/3"]
    assert shards["for_each_task"]["concurrency"] == 3
    shard = shards["for_each_task"]["task"]
    said = shard["python_wheel_task"]["parameters"]
    alike = ["--var", "catalog={{job.parameters.catalog}}", "--warehouse", "abc"]
    assert said[:3] == ["shard", "${workspace.file_path}/jobs/triage.yml", "{{input}}"]
    assert said[3:] == ["--json", *alike, "--job-run", "{{job.run_id}}-{{job.repair_count}}"]
    asked = run["python_wheel_task"]["parameters"]
    assert asked[3 : 3 + len(alike)] == alike
    assert asked[7:11] == ["--shards", "3", "--job-run", "{{job.run_id}}-{{job.repair_count}}"]
    for task in (run, shard):
        assert (task["max_retries"], task["disable_auto_optimization"]) == (0, True)
        assert task["environment_key"] == "job"


def test_a_warehouse_runs_the_sql_and_needs_its_connector() -> None:
    job = job_of(compute={"warehouse": "abc123"})
    said = parameters(job)
    assert said[said.index("--warehouse") + 1] == "abc123"
    assert any("databricks-sql-connector" in one for one in job["environments"][0]["spec"]["dependencies"])


@pytest.mark.parametrize(("extra", "packages"), [("warehouse", WAREHOUSE), ("otlp", OTLP)])
def test_what_a_job_needs_is_what_the_extra_requires(extra: str, packages: tuple[str, ...]) -> None:
    required = [Requirement(one) for one in requires("rowcall") or []]
    found = {f"{one.name}{one.specifier}" for one in required if one.marker and one.marker.evaluate({"extra": extra})}
    assert set(packages) == found


def test_a_collector_of_spans_needs_its_packages_wherever_the_job_runs() -> None:
    otlp = {"otlp": {"endpoint": "https://collector.example.com:4318"}}
    (environment,) = job_of(traces=otlp)["environments"]
    assert environment["spec"]["dependencies"] == ["./dist/*.whl", *OTLP]
    (task,) = job_of(traces=otlp, compute={"cluster": {"node_type_id": "i3.xlarge"}})["tasks"]
    assert task["libraries"] == [{"whl": "./dist/*.whl"}, *({"pypi": {"package": one}} for one in OTLP)]


def test_several_endpoints_have_their_deadlines_one_after_another() -> None:
    limits = {"limits": {"deadline": "2h", "warm_up": "10m"}}
    one, three = (job_of(Deployment("j.yml", "rowcall", endpoints=n), **limits) for n in (1, 3))
    assert three["timeout_seconds"] == 3 * one["timeout_seconds"] == 3 * (7200 + 600 + 3600)
    assert three["health"]["rules"][0]["value"] == 3 * 7800


def test_people_get_mail_and_destinations_their_hooks() -> None:
    people = {"on_failure": ["me@example.com", "3f2a"], "on_success": "3f2a", "on_late": "me@example.com"}
    job = job_of(notifications=people)
    assert job["email_notifications"] == {
        "on_failure": ["me@example.com"],
        "on_duration_warning_threshold_exceeded": ["me@example.com"],
    }
    assert job["webhook_notifications"] == {"on_success": [{"id": "3f2a"}], "on_failure": [{"id": "3f2a"}]}


def test_the_bundle_names_who_hears_of_failures_where_the_job_does_not() -> None:
    at = Deployment("j.yml", "rowcall", on_failure=("all@example.com",))
    assert job_of(at)["email_notifications"] == {"on_failure": ["all@example.com"]}
    own = job_of(at, notifications={"on_failure": "me@example.com"})
    assert own["email_notifications"] == {"on_failure": ["me@example.com"]}


def test_rights() -> None:
    job = job_of(
        run_as={"service_principal": "1234"},
        permissions=[{"level": "CAN_VIEW", "group": "analysts"}, {"level": "CAN_MANAGE", "user": "me@example.com"}],
        tags={"team": "care"},
    )
    assert job["run_as"] == {"service_principal_name": "1234"}
    assert job["permissions"] == [
        {"level": "CAN_VIEW", "group_name": "analysts"},
        {"level": "CAN_MANAGE", "user_name": "me@example.com"},
    ]
    assert job["tags"] == {"rowcall": "triage", "team": "care"}


def test_how_a_job_is_deployed_does_not_change_what_it_is() -> None:
    deployed = definition(schedule={"cron": "0 0 6 * * ?"}, compute={"warehouse": "w"}, tags={"a": "b"})
    assert deployed.fingerprint == definition().fingerprint
    assert definition(description="other").fingerprint != definition().fingerprint
