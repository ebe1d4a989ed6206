"""The few things a database knows about itself."""

import secrets

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.instants import Instant
from storage.database import Database
from storage.schema import meta

_SESSION_SECRET = "session_secret"  # noqa: S105 - the name of one
# Alike on both databases. The first one's stays: two processes may start at the same time.
_KEEP = text("INSERT INTO meta (key, value) VALUES (:key, :value) ON CONFLICT (key) DO NOTHING")


async def created_at(conn: AsyncConnection) -> Instant:
    """When the database was created."""
    return int((await conn.execute(select(meta.c.value).where(meta.c.key == "created_at"))).scalar_one())


async def keep(conn: AsyncConnection, key: str, value: str) -> str:
    """What is remembered under this key: this, where nothing was."""
    await conn.execute(_KEEP, {"key": key, "value": value})
    kept: str = (await conn.execute(select(meta.c.value).where(meta.c.key == key))).scalar_one()
    return kept


async def session_secret(database: Database) -> bytes:
    """The secret in the signatures of the console's sessions; made when it is first asked for."""
    known = select(meta.c.value).where(meta.c.key == _SESSION_SECRET)
    async with database.read() as conn:
        found = await conn.scalar(known)
    if found is None:
        async with database.write() as conn:
            found = await keep(conn, _SESSION_SECRET, secrets.token_hex(32))
    return bytes.fromhex(found)
