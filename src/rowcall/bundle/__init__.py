"""Every file of `jobs/` as a Databricks job of a bundle. A `databricks.yml` names it:

    python: {venv_path: .venv, resources: ["rowcall.bundle:load_resources"]}

so that another YAML file is another job. `databricks-bundles` must be in that environment: `pip install 'rowcall[bundle]'`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rowcall.adapters.bundle import Bundle, Resources


def load_resources(bundle: "Bundle") -> "Resources":
    """What the Databricks CLI calls, in the bundle's root. Mistakes in definitions become errors of the bundle."""
    from rowcall.adapters.bundle import made_resources
    from rowcall.bundle.jobs import jobs_of

    jobs, problems = jobs_of(bundle.variables)
    return made_resources({name: (str(job.file), job.settings) for name, job in jobs.items()}, problems)
