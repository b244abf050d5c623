"""What a Databricks runtime has for the tasks of a job, beside its SparkSession and its login."""

import logging
import os
from collections.abc import Mapping

_LOG = logging.getLogger(__name__)


def set_task_values(values: Mapping[str, object]) -> None:
    """Let later tasks of the Databricks job read `{{tasks.<task>.values.<name>}}`. Values are JSON.

    Outside a runtime there is nobody to tell, and a value that cannot be set is not worth a run: it is logged.
    """
    if "DATABRICKS_RUNTIME_VERSION" not in os.environ:
        return
    try:
        from databricks.sdk.runtime import dbutils

        for name, value in values.items():
            dbutils.jobs.taskValues.set(key=name, value=value)
    except Exception as error:
        _LOG.warning("the task values could not be set: %s", error)
