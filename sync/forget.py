"""Remove what the journal holds of one customer: the bodies of the events. What moved, when and how much, stays."""

import binascii
import html
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

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

_BASE64 = re.compile(rb"[A-Za-z0-9+/\s]{40,}")
_JSON_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')


@dataclass
class Found:
    """What the journal holds of a customer."""

    events: set[int] = field(default_factory=set)
    """Those that name the customer, and what hangs together with them."""
    named: set[int] = field(default_factory=set)
    """Those of them that name the address: it leads to the others for as long as these have their bodies."""
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
    names = _search_for(address)
    named: set[int] = set()
    decisions = searched = last = 0
    while True:
        async with db.read() as conn:
            page = await bodies_after(conn, last, PAGE)
        if not page:
            break
        for id_, source, body in page:
            if names(body):
                named.add(id_)
                decisions += source == OPERATOR
        last, searched = page[-1][0], searched + len(page)
        progress(searched)
    async with db.read() as conn:
        own = await facts_of(conn, named)
        stored = await load_component(conn, {ref for one in own for ref in (*one.found, *one.leads)})
    found = await _whole(db, stored, named)
    found.named, found.decisions = named, decisions
    return found


async def forget(db: Database, found: Found, actor: str, now: Instant, *, set_aside: bool = False) -> int:
    """Note it on every entry, and cut the bodies of what was found; how many were cut.

    What is not interpreted yet keeps its body, and so does what was set aside, unless `set_aside`: it can never be
    understood without. An interruption leaves nothing that a repetition would not find.
    """
    text = "personal data was removed: the bodies of the events were cut"
    async with Journal(db) as journal:
        for entry_id in sorted(found.entries):
            await record(db, journal, Intent(entry_id, "note", actor, now, text))
    ids, cut = [*sorted(found.events - found.named), *sorted(found.named)], 0
    for i in range(0, len(ids), BATCH):
        async with db.write() as conn:
            cut += await cut_bodies(conn, ids[i : i + BATCH], set_aside=set_aside)
    return cut


async def _whole(db: Database, stored: Iterable[StoredFact], named: set[int]) -> Found:
    """With the entries of these facts."""
    stored = list(stored)
    events = named | {one.journal_id for one in stored}
    async with db.read() as conn:
        entries = await load_entries(conn, {one.found[0] for one in stored})
        waiting = await needed(conn, events)
    return Found(events, entries=set(entries), open=set().union(*waiting.values()))


def _search_for(address: str) -> Callable[[bytes], bool]:
    """Whether a body names the address; another one that ends or begins like it is somebody else's."""
    wanted = address.casefold()
    whole = re.compile(rf"(?<![\w.-]){re.escape(wanted)}(?![\w-]|\.\w)")

    def names(body: bytes) -> bool:
        texts = map(str.casefold, _readings(body))
        return any(wanted in text and whole.search(text) for text in texts)

    return names


def _readings(body: bytes) -> Iterator[str]:
    """The body as it is, and without what a form, base64 (Braintree's XML), JSON and XML write in other characters."""
    yield body.decode(errors="replace")
    plain = unquote_to_bytes(body)
    for part in (plain, *map(_from_base64, _BASE64.findall(plain))):
        yield html.unescape(_JSON_ESCAPE.sub(_unescaped, part.decode(errors="replace")))


def _from_base64(text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(text + b"==")
    except binascii.Error:  # it only looked like it
        return b""


def _unescaped(escape: re.Match[str]) -> str:
    code, character = escape.groups()
    if code:
        return chr(int(code, 16))
    return character if character in '"\\/' else " "
