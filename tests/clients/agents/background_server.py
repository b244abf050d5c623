"""The parrot on Databricks' `LongRunningAgentServer`: begun with `background`, then asked after.

That server keeps its runs in a Lakebase database. Here SQLite stands in for it, put where `init_db` would put Lakebase's engine;
everything else is the real server. What only PostgreSQL can do, taking over the runs of a dead replica, is not exercised.
"""

import asyncio
import os

# Read when the server is made. The times SQLite gives back have no zone; the server takes them for UTC.
os.environ |= {"LAKEBASE_INSTANCE_NAME": "sqlite", "TZ": "UTC"}

import mlflow
from agent_server import answer  # noqa: F401 (registers the parrot)
from databricks_ai_bridge.long_running import LongRunningAgentServer, db
from databricks_ai_bridge.long_running.models import AGENT_DB_SCHEMA, Base
from listening import serve
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine


def main() -> None:
    engine = create_async_engine(
        "sqlite+aiosqlite:///runs.db",
        connect_args={"timeout": 60},
        execution_options={"schema_translate_map": {AGENT_DB_SCHEMA: None}},
    )
    asyncio.run(_make_tables(engine))
    db._session_factory = async_sessionmaker(engine, expire_on_commit=False)
    db._initialized = True
    mlflow.set_experiment("agents")
    serve(LongRunningAgentServer(poll_interval_seconds=0.1).app)


async def _make_tables(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await engine.dispose()


if __name__ == "__main__":
    main()
