"""Whether the ledger has what the gateway says went back, refund by refund."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from ledger.entries import GatewayRefund
from ledger.facts import refund_ref
from ledger.instants import DAY, Instant
from ledger.payments import fold_gateway
from sources.base import Source
from sources.polling import GatewayPoller, Listed
from storage.database import Database
from storage.entries import EntryFilter, page
from storage.facts import load_component

PAGE = 200
OPENED_BEFORE = 90 * DAY
"""An entry may have been opened so long before its gateway refund: the storefront was first."""

SETTLING = 600 * 1_000_000
"""What is younger than this may not have arrived yet, and is left out."""


@dataclass(frozen=True, slots=True)
class Drift:
    """A refund on which ledger and gateway do not agree."""

    kind: Literal["missing", "extra", "different"]
    """`missing`: the ledger does not have it. `extra`: the gateway does not list it. `different`: in `fields`."""
    id: str
    gateway: Listed | None
    ledger: GatewayRefund | None
    fields: tuple[str, ...] = ()


@dataclass
class VerifyReport:
    """What a comparison found."""

    compared: int = 0
    drift: list[Drift] = field(default_factory=list)


async def verify(
    db: Database,
    source: Source[Any],
    since: Instant,
    *,
    progress: Callable[[int], None] = lambda _compared: None,
) -> VerifyReport:
    """Compare the ledger with the gateway's own list since then. Raises ApiFailed, StorageUnavailable."""
    until = time.time_ns() // 1000 - SETTLING
    report = VerifyReport()
    listed: set[str] = set()
    poller = source.poller()
    assert isinstance(poller, GatewayPoller), "only gateways are compared"
    try:
        async for refunds in poller.listed(since, until):
            listed |= {r.id for r in refunds}
            await _compare(db, source.name, refunds, report)
            progress(report.compared)
    finally:
        await poller.close()
    await _find_extra(db, source.name, since, until, listed, report)
    return report


async def _compare(db: Database, source: str, refunds: list[Listed], report: VerifyReport) -> None:
    async with db.read() as conn:
        stored = await load_component(conn, [refund_ref(source, r.id) for r in refunds])
    _, returned = fold_gateway(one.fact for one in stored)
    known = {r.refund.id: r.refund for r in returned if r.refund.source == source}
    for theirs in refunds:
        ours = known.get(theirs.id)
        report.compared += 1
        if ours is None:
            report.drift.append(Drift("missing", theirs.id, theirs, None))
        elif wrong := _different(ours, theirs):
            report.drift.append(Drift("different", theirs.id, theirs, ours, wrong))


def _different(ours: GatewayRefund, theirs: Listed) -> tuple[str, ...]:
    return tuple(
        name for name in ("kind", "status", "amount", "currency") if getattr(ours, name) != getattr(theirs, name)
    )


async def _find_extra(
    db: Database, source: str, since: Instant, until: Instant, listed: set[str], report: VerifyReport
) -> None:
    """What the ledger has of that time, and the gateway does not list."""
    chosen = EntryFilter(source=source, since=max(since - OPENED_BEFORE, 0), until=until)
    cursor: str | None = None
    while True:
        async with db.read() as conn:
            entries, cursor = await page(conn, chosen, PAGE, cursor)
        for refund in (r for e in entries for r in e.gateway_refunds if r.source == source):
            if since <= refund.at < until and refund.id not in listed:
                report.drift.append(Drift("extra", refund.id, None, refund))
        if cursor is None:
            return
