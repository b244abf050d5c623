"""One thin module per outside system, behind a port of `core.ports`: it translates and decides nothing. Imports `core` and the
system's own client; adapters other than `http` and `workspace`, which log in through `auth`, do not know one another.

`spark` a SparkSession · `journal` a folder or Volume · `http` endpoints · `auth` logins · `workspace` the Databricks REST API ·
`packaged` the files of `sql/` and `jobs/`
"""
