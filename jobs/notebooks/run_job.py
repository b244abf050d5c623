# Databricks notebook source
# MAGIC %md
# MAGIC # Run a job
# MAGIC
# MAGIC Run a job definition with variables from widgets, and look at how it went. The same as `rowcall run`.
# MAGIC
# MAGIC On Databricks, install rowcall first: add the wheel to the notebook's environment, or run this once in a cell of its
# MAGIC own.
# MAGIC
# MAGIC ```
# MAGIC %pip install /Volumes/main/default/wheels/rowcall-0.1.0-py3-none-any.whl
# MAGIC dbutils.library.restartPython()
# MAGIC ```
# MAGIC
# MAGIC Elsewhere the parameters are the environment's `ROWCALL_JOB` and `ROWCALL_CATALOG`.

# COMMAND ----------

import rowcall

parameters = rowcall.widgets(job="jobs/text_insight.yml", catalog="main")

# COMMAND ----------

run = rowcall.run(parameters["job"], variables={"catalog": parameters["catalog"]})
run

# COMMAND ----------

# MAGIC %md
# MAGIC What this run left without an ok answer. `run.check()` is an error unless the run went to its end, so that a scheduled
# MAGIC notebook turns red.

# COMMAND ----------

run.check()
display(run.failures)

# COMMAND ----------

run.report()
