"""The sandbox workspace: a Databricks workspace on one machine, in a process of its own, spoken to over HTTP.

    process.py ─▶ __main__.py ─▶ server.py
                                  ├─ oauth.py           discovery, tokens, who may call what
                                  ├─ workspace_api.py   lookups: serving endpoints, apps, who am I
                                  ├─ agent_routes.py    asking an agent or a model; shapes.py: in which shape
                                  ├─ files_api.py       files in volumes, under HOME/volumes
                                  ├─ warehouse_routes.py  a SQL warehouse; thrift_service.py ─▶ warehouse.py
                                  │                       ─▶ operations.py ─▶ statement_runner.py ─▶ lakehouse
                                  └─ control_routes.py  not Databricks': behaviour.py in, figures.py out

It owns the server side of Databricks' own protocols, so that clients (the real databricks-sdk among them)
need no special case for it; nothing outside this package knows how it works. Beside the server stands
`lakehouse`, the embedded lakehouse.

It may import `rowcall.core`, aiohttp, and, only when the agent or the warehouse is first wanted, the packages of
the `local` extra. Importing `rowcall.sandbox` or `rowcall.sandbox.process` loads none of them.

To add an agent or a model: write a function from `Question` to `Answer` and name it in `agents.make_agents`, with its task.
It is then a serving endpoint, an agent an app too, and has behaviours and figures.
"""
