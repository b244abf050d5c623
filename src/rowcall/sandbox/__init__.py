"""The sandbox workspace: a Databricks workspace on one machine, in a process of its own, spoken to over HTTP.

    process.py ─▶ __main__.py ─▶ server.py
                                  ├─ oauth.py           discovery, tokens, who may call what
                                  ├─ workspace_api.py   lookups: serving endpoints, apps, who am I
                                  ├─ agent_routes.py    asking an agent; wire.py, mlflow_trace.py: its shapes
                                  ├─ files_api.py       files in volumes, under HOME/volumes
                                  └─ control_routes.py  not Databricks': behaviour.py in, figures.py out

It owns the server side of Databricks' own protocols, so that clients (the real databricks-sdk among them)
need no special case for it; nothing outside this package knows how it works. Beside the server stands
`lakehouse`, the embedded lakehouse.

It may import `rowcall.core`, aiohttp, and, only when the agent is first wanted, the packages of the `local`
extra. Importing `rowcall.sandbox` or `rowcall.sandbox.process` loads none of them.

To add an agent: write a function from `Question` to `Answer` and name it in `agents.make_agents`. It is then
a serving endpoint and an app, and has behaviours and figures.
"""
