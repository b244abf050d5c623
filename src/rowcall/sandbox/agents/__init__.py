"""The agents and models of the sandbox: what they say, the shapes they are asked in, how they misbehave, what they did.

    agent_routes ─▶ shapes ─▶ wire, responses_wire, chat_wire, model_wire ─▶ agents ─▶ text_insight, structured, upstream
                 ─▶ dialects, delivery        how an app and a serving endpoint reply
                 ─▶ behaviour, figures        told what to do wrong, and counted

To add one: write a function from `Question` to `Answer` and name it in `agents.make_agents`, with its task. It is then a serving
endpoint, an agent an app too, and has behaviours and figures.
"""
