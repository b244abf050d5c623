"""The agents and models of the sandbox: what they say, the shapes they are asked in, how they misbehave, what they did.

    agent_routes    ─▶ calls    one call: who may make it, counted, turned away, struck by a fault or not
    background_runs ─▶ runs     runs that go on after the request, on an app
    durable_routes  ─▶ runs     invocations on the durable agent server
        ─▶ shapes ─▶ wire, responses_wire, chat_wire, model_wire, durable_wire ─▶ agents ─▶ text_insight, structured, upstream
        ─▶ dialects, fastapi_errors, delivery    how an app and a serving endpoint reply
        ─▶ behaviour, capacity, faults, unusual_replies, figures    told what to do wrong, and counted

To add one: write a function from `Question` to `Answer` and name it in `agents.make_agents`, with its task. It is then a serving
endpoint, an agent an app too, and has behaviours and figures.
"""
