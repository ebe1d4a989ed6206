"""The few things a database knows about itself."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.instants import Instant
from storage.schema import meta


async def created_at(conn: AsyncConnection) -> Instant:
    """When the database was created."""
    return int((await conn.execute(select(meta.c.value).where(meta.c.key == "created_at"))).scalar_one())
