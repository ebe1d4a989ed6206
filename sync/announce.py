"""What of a change of the ledger is to be told to others. It is written down in the transaction of the change."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from config.notices import CustomerNotice
from ledger.entries import Entry, GatewayRefund
from ledger.instants import Instant, to_rfc3339
from ledger.present import entry_json
from sources.registry import Configuration
from storage.database import Database
from storage.notices import (
    add_customer_notices,
    add_outgoing_notices,
    customer_notices_since,
    end_customer_notices,
    forget_receivers,
)
from sync.changes import EntryChange


@dataclass(frozen=True)
class NoticeRules:
    """Who is to be told."""

    receivers: tuple[str, ...] = ()
    """Of new, changed and cleared exceptions."""
    customer: CustomerNotice | None = None
    """None: no customer is."""
    since: Instant = 0
    """Customers of refunds that were made before are not told."""


NOBODY = NoticeRules()


async def notice_rules(db: Database, configuration: Configuration, now: Instant) -> NoticeRules:
    """Who is to be told by this configuration. What is switched on now begins now, what is switched off is forgotten.

    Raises StorageUnavailable.
    """
    settings = configuration.settings
    async with db.write() as conn:
        await forget_receivers(conn, settings.notices)
        if settings.customer_notice is None:
            await end_customer_notices(conn)
            return NoticeRules(tuple(settings.notices))
        since = await customer_notices_since(conn, now)
    return NoticeRules(tuple(settings.notices), settings.customer_notice, since)


async def announce(conn: AsyncConnection, changes: Sequence[EntryChange], rules: NoticeRules, now: Instant) -> None:
    """Write down what of these changes is to be told: those of whole components, and all of each."""
    if rules.receivers:
        bodies = [json.dumps(event, separators=(",", ":")) for event in exception_events(changes, now)]
        await add_outgoing_notices(conn, rules.receivers, bodies, now)
    if rules.customer:
        await add_customer_notices(conn, returned(changes, rules.customer, rules.since), now)


def exception_events(changes: Iterable[EntryChange], now: Instant) -> Iterator[dict[str, Any]]:
    """An event for each exception that is new, has another reason or id, or is cleared; nothing for other changes.

    `former` names the entries that this one continues, itself among them, as they were.
    """
    current = {c.new.id: c.new for c in changes if c.new}
    former: defaultdict[str, list[Entry]] = defaultdict(list)
    for old, successor in ((c.old, c.successor) for c in changes if c.old):
        if old.id in current or successor in current:
            former[old.id if old.id in current else successor or ""].append(old)
        elif old.status == "unmatched":
            gone = replace(old, status="closed", reason=None, explanation="Nothing is left of it.")
            yield _event("cleared", gone, [old], now)
    for entry in current.values():
        before = former[entry.id]
        open_before = [(old.id, old.reason) for old in before if old.status == "unmatched"]
        # Also where it takes in another open one and stays as it is: that one is over.
        if entry.status == "unmatched" and open_before != [(entry.id, entry.reason)]:
            yield _event("changed" if open_before else "opened", entry, before, now)
        elif entry.status != "unmatched" and open_before:
            yield _event("cleared", entry, before, now)


def returned(changes: Iterable[EntryChange], told: CustomerNotice, since: Instant) -> set[tuple[str, str]]:
    """The gateway refunds with which money has gone back now, and had not before, and whose customers are told."""
    before = {key for c in changes if c.old for key in _succeeded(c.old, told, since)}
    return {key for c in changes if c.new for key in _succeeded(c.new, told, since)} - before


def _succeeded(entry: Entry, told: CustomerNotice, since: Instant) -> Iterator[tuple[str, str]]:
    return ((r.source, r.id) for r in entry.gateway_refunds if r.at >= since and is_told(r, told))


def is_told(refund: GatewayRefund, told: CustomerNotice) -> bool:
    """Whether it is one whose customer is told: the money is back, and the shop wants its kind told."""
    return refund.status == "succeeded" and refund.kind in told.kinds and refund.source not in told.except_sources


def _event(what: str, entry: Entry, former: Iterable[Entry], now: Instant) -> dict[str, Any]:
    before = [{"id": old.id, "status": old.status, "reason": old.reason} for old in former]
    data = {"entry": entry_json(entry), "former": before}
    return {"type": f"exception.{what}", "timestamp": to_rfc3339(now), "data": data}
