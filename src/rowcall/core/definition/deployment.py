"""When a job runs on Databricks, on what, as whom, and who hears of it. A run reads none of this: a bundle makes a Databricks job
of it.

The words are Databricks' own where they are good (jobs API 2.2, as `databricks-bundles` has it).
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from rowcall.core.definition.fields import Model, Seconds, TableName, Whole

_CRON = r"^\S+( \S+){5,6}$"
_EVERY = r"^[1-9][0-9]* (minute|hour|day|week)s?$"

Text = Annotated[str, StringConstraints(min_length=1, pattern=r"^\S(.*\S)?$")]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _a_minute(value: float) -> float:
    if value < 60:
        raise ValueError("expected a minute or more, such as 2m")
    return value


def compute_in_short(value: object) -> object:
    return {} if value == "serverless" else value


AtLeastAMinute = Annotated[Seconds, AfterValidator(_a_minute)]


class Schedule(Model):
    """Times at which the job runs."""

    cron: Annotated[str, StringConstraints(pattern=_CRON)] = Field(
        description="A Quartz expression of six or seven fields, seconds first: 0 0 6 * * ? is six o'clock each day."
    )
    timezone: Text = Field(default="UTC", description="Such as Europe/Berlin.")
    paused: bool = False


class Trigger(Model):
    """What makes the job run. Exactly one of `tables`, `files` and `every`."""

    tables: Annotated[list[TableName], BeforeValidator(_listed), Field(min_length=1)] | None = Field(
        default=None, description="Tables whose updates start the job; all three parts of each name."
    )
    condition: Literal["any", "all"] = Field(
        default="any", description="Whether one of several tables is enough, or all must have been updated."
    )
    files: Annotated[str, StringConstraints(pattern=r"^(/Volumes/|[a-z0-9]+://).+/$")] | None = Field(
        default=None,
        description="A folder whose new files start the job: a volume's or an external location's, with a / at its end.",
    )
    every: Annotated[str, StringConstraints(pattern=_EVERY)] | None = Field(
        default=None, description="How often: 6 hours, 1 day."
    )
    at_most_every: AtLeastAMinute | None = Field(
        default=None, description="For tables and files: the shortest time between two runs, a minute at least."
    )
    quiet_for: AtLeastAMinute | None = Field(
        default=None, description="For tables and files: how long nothing may have changed, a minute at least."
    )
    paused: bool = False

    @model_validator(mode="after")
    def _one_cause(self) -> "Trigger":
        given = [name for name in ("tables", "files", "every") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of tables, files and every, not {' and '.join(given) or 'none'}")
        if self.every is not None and (self.at_most_every or self.quiet_for):
            raise ValueError("at_most_every and quiet_for are for tables and files")
        return self


class Compute(Model):
    """What the job runs on: serverless, unless a `cluster` or a `warehouse` is given."""

    cluster: dict[str, Any] | None = Field(
        default=None,
        min_length=1,
        description="A job cluster, as Databricks' new_cluster: {node_type_id: i3.xlarge, num_workers: 2}.",
    )
    warehouse: Text | None = Field(
        default=None,
        description="The id of a SQL warehouse that runs all the SQL; Python runs serverless and needs no Spark.",
    )
    environment_version: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*$")] = Field(
        default="4", description="Of the serverless environment."
    )
    libraries: list[Text] = Field(default_factory=list, description="Further packages from PyPI: mypackage==1.2.")
    shards: Annotated[Whole, Field(ge=2, le=100)] | None = Field(
        default=None, description="Tasks that share the rows and every limit, each with compute of its own."
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> "Compute":
        if self.cluster is not None and self.warehouse is not None:
            raise ValueError("give a cluster or a warehouse, not both")
        if self.cluster is not None and self.shards is not None:
            raise ValueError(
                "shards are for serverless and warehouses; the executors of a cluster share the rows anyway"
            )
        return self


Recipients = Annotated[list[Text], BeforeValidator(_listed)]


class Notifications(Model):
    """Who hears of a run: mail addresses, and ids of notification destinations."""

    on_start: Recipients = Field(default_factory=list[str])
    on_success: Recipients = Field(default_factory=list[str])
    on_failure: Recipients = Field(default_factory=list[str])
    on_late: Recipients = Field(default_factory=list[str], description="When a run takes longer than late_after.")
    late_after: Seconds | None = Field(
        default=None, description="By default the deadline, or half of the time after which the run is cancelled."
    )


class RunAs(Model):
    """Whose rights the job has. Exactly one."""

    user: Text | None = None
    service_principal: Text | None = Field(default=None, description="Its application id.")

    @model_validator(mode="after")
    def _one(self) -> "RunAs":
        if (self.user is None) == (self.service_principal is None):
            raise ValueError("give exactly one of user and service_principal")
        return self


class Permission(Model):
    """What somebody may do with the job."""

    level: Literal["CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE", "IS_OWNER"]
    user: Text | None = None
    group: Text | None = None
    service_principal: Text | None = None

    @model_validator(mode="after")
    def _one(self) -> "Permission":
        given = [name for name in ("user", "group", "service_principal") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of user, group and service_principal, not {' and '.join(given) or 'none'}"
            )
        return self
