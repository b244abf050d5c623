"""`python echo_server.py PORT LOG LATENCY_MS`: an OpenAI-compatible server that echoes, a process of its own to kill.

An answer is a line in LOG before it is sent: that outlives the server.
"""

import asyncio
import os
import sys

from aiohttp import web


def main(port: str, log: str, latency_ms: str) -> None:
    answered = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def answer(request: web.Request) -> web.Response:
        text = (await request.json())["messages"][-1]["content"]
        await asyncio.sleep(int(latency_ms) / 1000)
        os.write(answered, f"{text}\n".encode())
        message = {"role": "assistant", "content": text}
        return web.json_response({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", answer)])
    web.run_app(app, host="127.0.0.1", port=int(port), print=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
