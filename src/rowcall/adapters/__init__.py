"""One thin module per outside system, behind a port of `core.ports`: it translates and decides nothing. Imports `core` and the
system's own client; adapters do not know one another, but those that log in to a workspace do so through `workspace_login`.

`spark` a SparkSession · `warehouse` a SQL warehouse · `journal` a folder or mounted Volume · `volume_journal` a Volume through the
Files API · `http` endpoints · `auth` logins · `renewal` tokens that expire · `workspace_login` the databricks-sdk's login ·
`workspace` the Databricks REST API · `packaged` the files of `sql/` and `jobs/`
"""
