"""The sandbox workspace: a Databricks workspace on one machine, in a process of its own, spoken to over HTTP.

    process.py ─▶ __main__.py ─▶ server.py
                                  ├─ oauth.py           discovery, tokens, who may call what
                                  ├─ workspace_api.py   lookups: serving endpoints, apps, warehouses, who am I
                                  ├─ secrets_api.py     secrets by scope and key
                                  ├─ agents/            asking an agent or a model
                                  ├─ files_api.py       files in volumes, under HOME/volumes
                                  ├─ warehouse/         a SQL warehouse over Thrift ─▶ databricks_sql/ ─▶ lakehouse
                                  └─ control_routes.py  not Databricks': behaviours in, figures out

It owns the server side of Databricks' own protocols, so that clients (the real databricks-sdk among them)
need no special case for it; nothing outside this package knows how it works. Beside the server stands
`lakehouse`, the embedded lakehouse.

It may import `rowcall.core`, aiohttp, and, only when the agent or the warehouse is first wanted, the packages of
the `local` extra. Importing `rowcall.sandbox` or `rowcall.sandbox.process` loads none of them.
"""
