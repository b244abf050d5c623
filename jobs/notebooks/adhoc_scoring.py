# Databricks notebook source
# MAGIC %md
# MAGIC # Ad hoc scoring
# MAGIC
# MAGIC Ask an agent or a model about each of some rows, and get the rows back with their answers. Running a cell again asks
# MAGIC only what has no answer yet.
# MAGIC
# MAGIC On Databricks, install rowcall first: add the wheel to the notebook's environment, or run this once in a cell of its
# MAGIC own.
# MAGIC
# MAGIC ```
# MAGIC %pip install /Volumes/main/default/wheels/rowcall-0.1.0-py3-none-any.whl
# MAGIC dbutils.library.restartPython()
# MAGIC ```
# MAGIC
# MAGIC Parameters are widgets there, which a job fills with its parameters. Elsewhere they are the environment's
# MAGIC `ROWCALL_ENDPOINT`, `ROWCALL_PROMPT` and so on. Where no workspace is configured, the sandbox is asked.

# COMMAND ----------

import pandas as pd

import rowcall

parameters = rowcall.widgets(
    endpoint="app:text-insight",
    prompt="Say what this is about: {text}",
    table="",
    key="text_id",
    catalog="main",
)

# COMMAND ----------

# MAGIC %md
# MAGIC ## The rows
# MAGIC
# MAGIC A table by its name, or a frame: of pandas, of Spark, an Arrow table.

# COMMAND ----------

rows = parameters["table"] or pd.DataFrame(
    {
        "text_id": ["bread", "cake", "oven"],
        "text": [
            "The bread was still warm and the staff were lovely.",
            "The cake arrived late and tasted awful.",
            "The bakery has three ovens.",
        ],
    }
)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Asking
# MAGIC
# MAGIC The answers are kept in the table `rowcall.adhoc_scoring` of the catalog, and read back from it. A run that does not
# MAGIC go to its end is an error, so that a scheduled notebook turns red; what was answered is kept, and the next run goes on.
# MAGIC Rows that fail are no error: they come back with an outcome and an error.

# COMMAND ----------

answered = rowcall.ask(
    rows,
    parameters["prompt"],
    parameters["endpoint"],
    key=parameters["key"],
    name="adhoc_scoring",
    outputs=f"{parameters['catalog']}.rowcall.adhoc_scoring",
)
display(answered)

# COMMAND ----------

# MAGIC %md
# MAGIC ## What failed
# MAGIC
# MAGIC The rows that the run left without an ok answer, and why.

# COMMAND ----------

run = rowcall.last_run("adhoc_scoring", f"{parameters['catalog']}.rowcall.runs")
display(run.failures)

# COMMAND ----------

# MAGIC %md
# MAGIC ## The report
# MAGIC
# MAGIC What the run was bound by, its latencies, tokens and cost. `run.report().save("report.html")` keeps it as a file.

# COMMAND ----------

run.report()
