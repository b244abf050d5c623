"""The keys that say how a job is deployed: what is wrong with them is told with its line."""

import pytest

from rowcall.core.errors import DefinitionError
from rowcall.core.job_file.reader import parse_job, variables_in

JOB = """job: triage
prompts: {table: main.sales.reviews, key: id}
request: {input: "{text}"}
endpoint: {app: agent}
outputs: {table: main.sales.answers}
"""


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('schedule: {cron: "0 6 * * *"}', "job.yml:6: schedule.cron: is"),
        ("schedule: {cron: '0 0 6 * * ?'}\ntrigger: {every: 1 day}", "give a schedule or a trigger, not both"),
        ("trigger: {paused: true}", "exactly one of tables, files and every, not none"),
        ("trigger: {every: 1 day, tables: a.b.c}", "exactly one of tables, files and every, not tables and every"),
        ("trigger: {every: 1 day, quiet_for: 2m}", "at_most_every and quiet_for are for tables and files"),
        ("trigger: {every: sometimes}", "expected a number of minutes, hours, days or weeks, such as 6 hours"),
        ("trigger: {files: /Volumes/main/sales/in}", "with a / at its end"),
        ("trigger: {tables: a.b.c, quiet_for: 5s}", 'job.yml:6: trigger.quiet_for: is "5s"; expected a minute or more'),
        ("compute: cluster", "job.yml:6: compute: is"),
        ("compute: {cluster: {node_type_id: a}, warehouse: b}", "a cluster or a warehouse, not both"),
        ("compute: {cluster: {node_type_id: a}, shards: 2}", "shards are for serverless and warehouses"),
        ("compute: {shards: 1}", "compute.shards: is 1; expected at least 2"),
        ("run_as: {}", "exactly one of user and service_principal"),
        ("permissions: [{level: CAN_LOOK, user: a}]", "permissions[0].level"),
        ("permissions: [{level: CAN_VIEW, user: a, group: b}]", "not user and group"),
        ("notifications: {on_failrue: a}", "Did you mean `on_failure`?"),
        ("tags: [a]", "tags"),
    ],
)
def test_mistakes(written: str, said: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        parse_job(JOB + written, "job.yml")
    assert said in str(refused.value)


def test_short_forms() -> None:
    job = parse_job(
        JOB + "compute: serverless\ntrigger: {tables: a.b.c}\nnotifications: {on_failure: a@b.c}", "job.yml"
    )
    assert job.compute.cluster is None
    assert job.trigger is not None
    assert job.trigger.tables == ["a.b.c"]
    assert job.notifications.on_failure == ["a@b.c"]


def test_variables_are_those_with_a_default_and_those_referred_to() -> None:
    text = JOB + 'variables: {catalog: main}\ndescription: "${catalog} ${schema} $${no} ${}"\ntags: {a: "${tag}"}'
    assert variables_in(text, "job.yml") == {"catalog", "schema", "tag"}
