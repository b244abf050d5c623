"""A Databricks job of a definition, as the dictionary that `databricks.bundles.jobs.Job` takes.

What a run pays for decides the defaults: no retries by the platform, one run at a time and the others queued, a time after which
it is cancelled. What was answered by then is kept, and the next run goes on.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rowcall.core.definition import JobDefinition

PACKAGE = "rowcall"
RUNTIME = "17.3.x-scala2.13"
"""Databricks Runtime of a job cluster that names none, an LTS with Spark 4.0 and Python 3.12."""
WAREHOUSE = ("databricks-sql-connector>=4.8",)
OTLP = ("opentelemetry-exporter-otlp-proto-http>=1.24", "opentelemetry-sdk>=1.24")
"""What the extras `warehouse` and `otlp` require, beside the requirement, which may be a wheel: the path of one takes no extras."""
JOB_RUN = "{{job.run_id}}-{{job.repair_count}}"
"""What a run and its shards have in common: a repair is another run, which must not take part in what the first one left."""
DAY = 86_400
PUBLISHING = 3_600
"""Seconds that a run has after its deadline, for calls in flight and for publishing."""
_CONTEXT = {
    "databricks_job_id": "{{job.id}}",
    "databricks_run_id": "{{job.run_id}}",
    "databricks_task_run_id": "{{task.run_id}}",
    "bundle_target": "${bundle.target}",
}
_UNITS = {"minute": "MINUTES", "hour": "HOURS", "day": "DAYS", "week": "WEEKS"}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the bundle knows of a job: its `file` from the bundle's root, the `requirement` that installs rowcall (a wheel from the
    bundle's root, or a package), the bundle's `variables` that the job uses, the commit, who hears of failures where the job
    names nobody, and how many `endpoints` are asked, one after another."""

    file: str
    requirement: str
    variables: frozenset[str] = frozenset()
    commit: str | None = None
    on_failure: Sequence[str] = field(default_factory=tuple[str, ...])
    endpoints: int = 1


def databricks_job(definition: JobDefinition, at: Deployment) -> Json:
    """The Databricks job that runs the definition."""
    job: Json = {
        "name": definition.job,
        "description": definition.description,
        "tags": {"rowcall": definition.job, **definition.tags},
        "parameters": [{"name": name, "default": default} for name, default in _variables(definition, at).items()],
        "max_concurrent_runs": 1,
        "queue": {"enabled": True},
        "timeout_seconds": _timeout(definition, at.endpoints),
        "health": {
            "rules": [
                {"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": _late(definition, at.endpoints)}
            ]
        },
        "tasks": _tasks(definition, at),
        **_start(definition),
        **_notifications(definition, at),
        **_machines(definition, at),
    }
    if definition.run_as is not None:
        job["run_as"] = _named(definition.run_as.user, None, definition.run_as.service_principal)
    if definition.permissions:
        job["permissions"] = [
            {"level": one.level, **_named(one.user, one.group, one.service_principal)} for one in definition.permissions
        ]
    return {name: value for name, value in job.items() if value not in ("", [])}


def _variables(definition: JobDefinition, at: Deployment) -> dict[str, str]:
    """The job's variables and their defaults: the bundle's, where it has one of that name, else the definition's."""
    own = {name: value if isinstance(value, str) else json.dumps(value) for name, value in definition.variables.items()}
    return {**own, **{name: f"${{var.{name}}}" for name in sorted(at.variables)}}


def _timeout(definition: JobDefinition, endpoints: int) -> int:
    deadline = _deadline(definition, endpoints)
    return DAY if deadline is None else deadline + endpoints * PUBLISHING


def _late(definition: JobDefinition, endpoints: int) -> int:
    late_after = definition.notifications.late_after
    return int(late_after) if late_after is not None else _deadline(definition, endpoints) or DAY // 2


def _deadline(definition: JobDefinition, endpoints: int) -> int | None:
    """Seconds after which the last endpoint's run asks no more."""
    limits = definition.limits
    return None if limits.deadline is None else endpoints * int(limits.warm_up + limits.deadline)


def _start(definition: JobDefinition) -> Json:
    schedule, trigger = definition.schedule, definition.trigger
    if schedule is not None:
        return {
            "schedule": {
                "quartz_cron_expression": schedule.cron,
                "timezone_id": schedule.timezone,
                **_pause(paused=schedule.paused),
            }
        }
    if trigger is None:
        return {}
    waits = {
        name: int(seconds)
        for name, seconds in {
            "min_time_between_triggers_seconds": trigger.at_most_every,
            "wait_after_last_change_seconds": trigger.quiet_for,
        }.items()
        if seconds is not None
    }
    if trigger.tables is not None:
        condition = "ALL_UPDATED" if trigger.condition == "all" else "ANY_UPDATED"
        cause: Json = {"table_update": {"table_names": trigger.tables, "condition": condition, **waits}}
    elif trigger.files is not None:
        cause = {"file_arrival": {"url": trigger.files, **waits}}
    else:
        number, unit = str(trigger.every).split()
        cause = {"periodic": {"interval": int(number), "unit": _UNITS[unit.removesuffix("s")]}}
    return {"trigger": {**cause, **_pause(paused=trigger.paused)}}


def _pause(*, paused: bool) -> Json:
    """What is not paused says nothing: a target in development mode pauses only what does not say otherwise."""
    return {"pause_status": "PAUSED"} if paused else {}


def _notifications(definition: JobDefinition, at: Deployment) -> Json:
    """Addresses get mail; anything else is the id of a notification destination."""
    said = definition.notifications
    events = {
        "on_start": said.on_start,
        "on_success": said.on_success,
        "on_failure": said.on_failure or at.on_failure,
        "on_duration_warning_threshold_exceeded": said.on_late,
    }
    mails = {event: [one for one in who if "@" in one] for event, who in events.items()}
    hooks = {event: [{"id": one} for one in who if "@" not in one] for event, who in events.items()}
    found: Json = {
        "email_notifications": {event: who for event, who in mails.items() if who},
        "webhook_notifications": {event: who for event, who in hooks.items() if who},
    }
    return {name: value for name, value in found.items() if value}


def _machines(definition: JobDefinition, at: Deployment) -> Json:
    compute = definition.compute
    if compute.cluster is not None:
        cluster = {"spark_version": RUNTIME, "data_security_mode": "SINGLE_USER", **compute.cluster}
        return {"job_clusters": [{"job_cluster_key": "job", "new_cluster": cluster}]}
    spec = {
        "environment_version": compute.environment_version,
        "dependencies": [at.requirement, *_packages(definition)],
    }
    return {"environments": [{"environment_key": "job", "spec": spec}]}


def _packages(definition: JobDefinition) -> Iterator[str]:
    """What is installed beside rowcall itself."""
    if definition.compute.warehouse is not None:
        yield from WAREHOUSE
    if definition.traces.otlp is not None:
        yield from OTLP
    yield from definition.compute.libraries


def _tasks(definition: JobDefinition, at: Deployment) -> list[Json]:
    """One task that asks, or one that leaves the asking to shards, beside it."""
    shards = definition.compute.shards
    run = ["run", _file(at), "--json", *_surroundings(definition, at)]
    context = [part for name, value in _context(at) for part in ("--context", f"{name}={value}")]
    if shards is None:
        return [_task("ask", [*run, *context], definition, at)]
    cut = ("--job-run", JOB_RUN)
    shard = ["shard", _file(at), "{{input}}", "--json", *_surroundings(definition, at), *cut]
    fan_out = {
        "inputs": json.dumps([f"{number}/{shards}" for number in range(1, shards + 1)]),
        "concurrency": shards,
        "task": _task("shard", shard, definition, at),
    }
    return [
        _task("ask", [*run, "--shards", str(shards), *cut, *context], definition, at),
        {"task_key": "shards", "for_each_task": fan_out, "max_retries": 0},
    ]


def _file(at: Deployment) -> str:
    return f"${{workspace.file_path}}/{at.file}"


def _surroundings(definition: JobDefinition, at: Deployment) -> Iterator[str]:
    """The options that a run and its shards must have alike."""
    for name in _variables(definition, at):
        yield from ("--var", f"{name}={{{{job.parameters.{name}}}}}")
    if definition.compute.warehouse:
        yield from ("--warehouse", definition.compute.warehouse)


def _context(at: Deployment) -> Iterator[tuple[str, str]]:
    yield from _CONTEXT.items()
    if at.commit:
        yield "git_commit", at.commit


def _task(key: str, command: Sequence[str], definition: JobDefinition, at: Deployment) -> Json:
    """A task that the platform never runs twice of its own accord: serverless tasks are, unless told otherwise."""
    task: Json = {
        "task_key": key,
        "python_wheel_task": {"package_name": PACKAGE, "entry_point": PACKAGE, "parameters": list(command)},
        "max_retries": 0,
        "disable_auto_optimization": True,
    }
    if definition.compute.cluster is None:
        return {**task, "environment_key": "job"}
    wheel = {"whl": at.requirement} if at.requirement.endswith(".whl") else {"pypi": {"package": at.requirement}}
    return {
        **task,
        "job_cluster_key": "job",
        "libraries": [wheel, *({"pypi": {"package": name}} for name in _packages(definition))],
    }


def _named(user: str | None, group: str | None, service_principal: str | None) -> Mapping[str, str]:
    names = {"user_name": user, "group_name": group, "service_principal_name": service_principal}
    return {name: value for name, value in names.items() if value is not None}
