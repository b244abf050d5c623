"""Databricks SQL on the embedded lakehouse: what Sail lacks, `ai_query` above all.

    lakehouse_sql ─▶ sql_calls          the calls to rewrite, found by token
                  ─▶ ai_call, ai_query  a function for each call of `ai_query`, which asks the sandbox's endpoints
                  ─▶ volume_files       what `read_files` reads

`serving` says where `ai_query` asks. Used by the warehouse, and by a lakehouse of one's own.
"""
