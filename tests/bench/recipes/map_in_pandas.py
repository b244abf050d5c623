"""What one would write on Spark: mapInPandas, and AsyncOpenAI with a semaphore and gather for each batch.

Takes prompts, address and limit, which two tasks share.
"""

import asyncio
import os
import sys
from collections.abc import Iterator

import pandas as pd
from pyspark.sql import SparkSession

prompts, address, limit = sys.argv[1:]
TASKS = 2
os.environ["PYSPARK_PYTHON"] = sys.executable


def ask_all(
    batches: Iterator[pd.DataFrame], address: str = address, limit: int = int(limit) // TASKS
) -> Iterator[pd.DataFrame]:
    from openai import AsyncOpenAI

    async def ask_batch(texts: list[str]) -> list[str | None]:
        seats = asyncio.Semaphore(limit)
        async with AsyncOpenAI(base_url=f"{address}/v1", api_key="none", timeout=300) as client:

            async def ask(text: str) -> str | None:
                async with seats:
                    try:
                        return (await client.responses.create(model="mock", input=text)).output_text
                    except Exception:
                        return None

            return await asyncio.gather(*map(ask, texts))

    for batch in batches:
        yield batch.assign(answer=asyncio.run(ask_batch(list(batch["text"]))))


spark = (
    SparkSession.builder.master(f"local[{TASKS}]")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.ui.enabled", "false")
    .config("spark.sql.execution.arrow.maxRecordsPerBatch", "1000")
    .getOrCreate()
)
rows = spark.read.parquet(prompts).repartition(TASKS)
rows.mapInPandas(ask_all, "id bigint, text string, answer string").write.parquet("answers.parquet")
spark.stop()
