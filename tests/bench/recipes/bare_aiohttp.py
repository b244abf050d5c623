"""The least that a client can do: aiohttp, as many loops as calls in flight, nothing kept but the text. Takes prompts, address and
limit."""

import asyncio
import json
import sys

import aiohttp
from pyarrow import parquet

prompts, address, limit = sys.argv[1:]


async def main() -> None:
    rows = iter(parquet.read_table(prompts).column("text").to_pylist())
    answers = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def asks() -> None:
            for text in rows:
                async with session.post(f"{address}/v1/responses", json={"model": "mock", "input": text}) as reply:
                    if reply.status == 200:
                        answers.append(json.loads(await reply.read())["output"][0]["content"][0]["text"])

        await asyncio.gather(*(asks() for _ in range(int(limit))))


asyncio.run(main())
