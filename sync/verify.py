"""Whether the ledger has what the gateway says went back, refund by refund."""

from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from ledger.entries import GatewayRefund
from ledger.facts import RefundFact, refund_ref
from ledger.instants import DAY, SECOND, Instant
from ledger.payments import fold_gateway
from sources.base import Source
from sources.polling import GatewayPoller, Listed
from storage.database import Database
from storage.entries import EntryFilter, page
from storage.facts import load_component

PAGE = 200
OPENED_BEFORE = 90 * DAY
"""An entry may have been opened so long before its gateway refund: the storefront was first."""

SETTLING = 600 * SECOND
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

    compared: int
    drift: list[Drift]


async def verify(
    db: Database,
    source: Source[Any],
    since: Instant,
    clock: Callable[[], Instant],
    *,
    progress: Callable[[int], None] = lambda _compared: None,
) -> VerifyReport:
    """Compare the ledger with the gateway's own list since then. Raises ApiFailed, StorageUnavailable."""
    found: dict[str, Drift | None] = {}
    poller = source.poller()
    assert isinstance(poller, GatewayPoller), "only gateways are compared"
    until = clock() - _settling(source, poller)
    try:
        async for refunds in poller.listed(since, until):
            # What moves on meanwhile may be listed twice: the later one counts.
            found |= await _compare(db, source.name, refunds)
            progress(len(found))
    finally:
        await poller.close()
    drift = [one for one in found.values() if one]
    drift += [one async for one in _extra(db, source.name, since, until, found.keys())]
    return VerifyReport(len(found), drift)


def _settling(source: Source[Any], poller: GatewayPoller) -> Instant:
    """How old what is compared has to be: of a gateway that is only polled, old enough to have been fetched."""
    interval: timedelta | None = source.settings.poll_interval
    if not source.only_polled or interval is None:
        return SETTLING
    return SETTLING + interval // timedelta(microseconds=1) + poller.feeds()[0].lag


async def _compare(db: Database, source: str, refunds: list[Listed]) -> dict[str, Drift | None]:
    async with db.read() as conn:
        stored = await load_component(conn, [refund_ref(source, r.id) for r in refunds])
    _, returned = fold_gateway(one.fact for one in stored)
    known = {r.refund.id: r.refund for r in returned if r.refund.source == source}
    told = {one.fact.id for one in stored if isinstance(one.fact, RefundFact) and one.fact.source == source}
    # What gave nothing back, as the released rest of a capture, is not missing: the ledger knows more than the list.
    nothing = told - known.keys()
    return {theirs.id: None if theirs.id in nothing else _drift(known.get(theirs.id), theirs) for theirs in refunds}


def _drift(ours: GatewayRefund | None, theirs: Listed) -> Drift | None:
    if ours is None:
        return Drift("missing", theirs.id, theirs, None)
    wrong = _different(ours, theirs)
    return Drift("different", theirs.id, theirs, ours, wrong) if wrong else None


def _different(ours: GatewayRefund, theirs: Listed) -> tuple[str, ...]:
    return tuple(
        name for name in ("kind", "status", "amount", "currency") if getattr(ours, name) != getattr(theirs, name)
    )


async def _extra(
    db: Database, source: str, since: Instant, until: Instant, listed: Collection[str]
) -> AsyncIterator[Drift]:
    """What the ledger has of that time, and the gateway does not list."""
    chosen = EntryFilter(source=source, since=max(since - OPENED_BEFORE, 0), until=until)
    cursor: str | None = None
    while True:
        async with db.read() as conn:
            entries, cursor = await page(conn, chosen, PAGE, cursor)
        for refund in (r for e in entries for r in e.gateway_refunds if r.source == source):
            if since <= refund.at < until and refund.id not in listed:
                yield Drift("extra", refund.id, None, refund)
        if cursor is None:
            return
