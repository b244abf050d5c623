"""What one would write by hand: AsyncOpenAI, a semaphore, all rows at once. Takes prompts, address and limit."""

import asyncio
import sys

import pandas as pd
from openai import AsyncOpenAI

prompts, address, limit = sys.argv[1:]


async def main() -> None:
    rows = pd.read_parquet(prompts)
    seats = asyncio.Semaphore(int(limit))
    async with AsyncOpenAI(base_url=f"{address}/v1", api_key="none", timeout=300) as client:

        async def ask(text: str) -> str | None:
            async with seats:
                try:
                    return (await client.responses.create(model="mock", input=text)).output_text
                except Exception:
                    return None

        rows["answer"] = await asyncio.gather(*map(ask, rows["text"]))
    rows.to_parquet("answers.parquet")


asyncio.run(main())
