"""The SQL warehouse of the sandbox: Thrift in, SQL on the embedded lakehouse, Arrow out.

    warehouse_routes ─▶ thrift_service ─▶ warehouse ─▶ operations ─▶ statement_runner ─▶ databricks_sql

`sql_errors` gives Sail's errors the classes and SQLSTATEs that Databricks has; `catalog_lookups` answers what JDBC-like clients
ask about tables and columns. Loads Spark and the connector's Thrift code only when a first session is opened.
"""
