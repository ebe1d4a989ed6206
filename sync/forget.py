"""Remove what the journal holds of one customer: the bodies of the events. What moved, when and how much, stays."""

import binascii
import html
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.facts import Decision, OrderFact, PaymentFact, RefundFact, order_ref, refund_ref
from ledger.groups import Groups
from ledger.instants import Instant
from sources.registry import OPERATOR
from storage.database import Database
from storage.decisions import Intent, record
from storage.entries import load_entries
from storage.facts import StoredFact, facts_of, load_component
from storage.journal import Journal
from storage.retention import bodies_after, cut_bodies

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
        return await _belonging(conn, [order_ref(store, order_id)])


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
        found = await _belonging(conn, [one.found[0] for one in await facts_of(conn, named)])
    found.events |= named
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


async def _belonging(conn: AsyncConnection, refs: list[int]) -> Found:
    """What belongs to the things at these references, as the ledger has it.

    Less than the whole component: that has every order of the same number, and only one of them is the customer's.
    """
    stored = await load_component(conn, refs)
    entries = await load_entries(conn, {one.found[0] for one in stored})
    groups: Groups[int] = Groups()
    for one in stored:
        # Without the texts that a gateway has of an order. Operators' links are in the entries, as long as they hold.
        if not isinstance(one.fact, Decision):
            groups.join(set(one.found) & set(one.leads))
    for entry in entries.values():
        groups.join([entry.home, *(refund_ref(r.source, r.id) for r in entry.gateway_refunds)])
    _join_by_number(stored, groups)
    theirs = {groups.root(ref) for ref in refs}
    chosen = [entry for entry in entries.values() if groups.root(entry.home) in theirs]
    return Found(
        {one.journal_id for one in stored if groups.root(one.found[0]) in theirs},
        entries={entry.id for entry in chosen},
        open={entry.id for entry in chosen if entry.is_open},
    )


def _join_by_number(stored: list[StoredFact], groups: Groups[int]) -> None:
    """A payment that nothing but its text ties to an order belongs to it, if only one order has that number."""
    numbered: defaultdict[str, set[int]] = defaultdict(set)
    for one in stored:
        if isinstance(one.fact, OrderFact):
            for text in one.fact.order_refs:
                numbered[text].add(one.found[0])
    taken = {groups.root(ref) for orders in numbered.values() for ref in orders}
    strays = [one for one in stored if groups.root(one.found[0]) not in taken]
    for one in strays:
        if isinstance(one.fact, PaymentFact | RefundFact):
            orders = set().union(*(numbered[text] for text in one.fact.order_refs))
            if len(orders) == 1:
                groups.join([one.found[0], *orders])


def _search_for(address: str) -> Callable[[bytes], bool]:
    """Whether a body names the address; another one that ends or begins like it is somebody else's."""
    wanted = address.casefold()
    # "=" and "'" may be part of an address, and more often stand before one.
    whole = re.compile(rf"(?<![\w.!#$%&*+/?^`{{|}}~-]){re.escape(wanted)}(?![\w-]|\.\w)")

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
