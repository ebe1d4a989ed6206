"""What people mean when they type a part of a name."""

import re

import click
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.entries import Entry
from storage.entries import find_entry
from storage.schema import entries


async def entry_named(conn: AsyncConnection, name: str, *, or_order: bool = False) -> Entry:
    """The entry with this id or former id, or the one whose id begins so. Raises ClickException for none or several.

    `or_order`: an order of this name was looked for as well, and the message says so.
    """
    if entry := await find_entry(conn, name):
        return entry
    found: list[str] = []
    if re.fullmatch(r"[0-9a-f]{4,31}", name):
        # A range and not LIKE: it finds its place in the index on both databases. No id has a letter after f.
        begins = (entries.c.id >= name) & (entries.c.id < f"{name}g")
        found = list(await conn.scalars(select(entries.c.id).where(begins).order_by(entries.c.id).limit(2)))
    if len(found) == 1 and (entry := await find_entry(conn, found[0])):
        return entry
    if found:
        raise click.ClickException(f"Several entries begin with {name}; give more of the id.")
    what = "order or entry" if or_order else "entry"
    raise click.ClickException(f"There is no {what} {name!a}; `refund-ledger entries` lists what there is.")
