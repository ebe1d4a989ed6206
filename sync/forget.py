"""Remove what the journal holds of one customer: the bodies of the events. What moved, when and how much, stays."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from urllib.parse import quote

from ledger.facts import order_ref
from ledger.instants import Instant
from sources.registry import OPERATOR
from storage.database import Database
from storage.decisions import Intent, record
from storage.entries import load_entries
from storage.facts import StoredFact, facts_of, load_component
from storage.journal import Journal
from storage.retention import bodies_after, cut_bodies, needed

PAGE = 500
BATCH = 200
"""Events in one transaction."""


@dataclass
class Found:
    """What the journal holds of a customer."""

    events: set[int] = field(default_factory=set)
    """Those that name the customer, and what hangs together with them."""
    decisions: int = 0
    """Of operators, that name the address. They stay: they are the audit trail."""
    entries: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)
    """Those of the entries that are pending or unmatched."""


async def of_order(db: Database, store: str, order_id: str) -> Found:
    """The events of an order, and of the payments and refunds that belong to it."""
    async with db.read() as conn:
        stored = await load_component(conn, [order_ref(store, order_id)])
    return await _whole(db, stored, set())


async def of_address(db: Database, address: str, progress: Callable[[int], None]) -> Found:
    """The events whose bodies name an e-mail address, in whatever case, and what hangs together with them."""
    wanted = _spellings(address)
    named: set[int] = set()
    decisions = searched = last = 0
    while True:
        async with db.read() as conn:
            page = await bodies_after(conn, last, PAGE)
        if not page:
            break
        for id_, source, body in page:
            text = body.lower()
            if any(spelling in text for spelling in wanted):
                named.add(id_)
                decisions += source == OPERATOR
        last, searched = page[-1][0], searched + len(page)
        progress(searched)
    async with db.read() as conn:
        own = await facts_of(conn, named)
        stored = await load_component(conn, {ref for one in own for ref in (*one.found, *one.leads)})
    found = await _whole(db, stored, named)
    found.decisions = decisions
    return found


async def forget(db: Database, found: Found, actor: str, now: Instant) -> int:
    """Cut the bodies of what was found, and note it on every entry; how many were cut.

    What is not interpreted yet or was set aside keeps its body: it could never be understood without.
    """
    ids, cut = sorted(found.events), 0
    for i in range(0, len(ids), BATCH):
        async with db.write() as conn:
            cut += await cut_bodies(conn, ids[i : i + BATCH])
    if cut:
        text = f"personal data was removed: the bodies of {cut} events were cut"
        async with Journal(db) as journal:
            for entry_id in sorted(found.entries):
                await record(db, journal, Intent(entry_id, "note", actor, now, text))
    return cut


async def _whole(db: Database, stored: Iterable[StoredFact], named: set[int]) -> Found:
    """With the entries of these facts."""
    stored = list(stored)
    events = named | {one.journal_id for one in stored}
    async with db.read() as conn:
        entries = await load_entries(conn, {one.found[0] for one in stored})
        waiting = await needed(conn, events)
    return Found(events, entries=set(entries), open=set().union(*waiting.values()))


def _spellings(address: str) -> set[bytes]:
    """The address as bodies write it: plain, in JSON with what is escaped there, in a form."""
    address = address.lower()
    escaped = json.dumps(address)[1:-1]
    spellings = {address, escaped, escaped.replace("@", "\\u0040"), quote(address).lower(), quote(address, "@").lower()}
    return {spelling.encode() for spelling in spellings}
