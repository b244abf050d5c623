"""A parrot on Databricks' `DurableAgentServer`, which knows a run by the id its client chose; its store is this process.

The handler takes what the adapters of Databricks' templates take, `{"messages": […]}` and a session, and answers as they do.
"""

import asyncio
import os
from typing import Any

from databricks_agentkit.runtime import DurableAgentServer, InvocationContext
from databricks_agentkit.runtime.store import RUNTIME_STORE_LOCAL_ENV
from listening import serve

os.environ[RUNTIME_STORE_LOCAL_ENV] = "true"
app = DurableAgentServer()
asked: list[str] = []


@app.invoke
async def answer(value: Any, context: InvocationContext) -> dict[str, Any]:
    if not context.session_id:
        raise ValueError("session_id must be given")
    said = value["messages"][-1]["content"]
    asked.append(said)
    if "fail" in said:
        raise RuntimeError("the parrot flew away")
    if "slow" in said:
        await asyncio.sleep(1)
    message = {"role": "assistant", "content": f"You said: {said}"}
    await context.emit({"type": "message", "message": message})
    return {"output": [message], "status": "completed"}


@app.get("/asked")
async def tell() -> list[str]:
    """Every message the handler was given, so that a test sees what ran twice."""
    return asked


if __name__ == "__main__":
    serve(app)
