"""The ledger in sums."""

from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from console import parameters
from console.context import Context
from ledger.entries import OPEN
from ledger.present import amount, time
from storage.dead_letters import count_backlog, count_dead_letters
from storage.queries import EntrySum, Unconfigured, sum_entries, unconfigured_gateways


async def show_summary(context: Context, request: Request) -> Response:
    """Counts and what is at stake, what is open and since when, and what has not got into the ledger yet."""
    parameters.query(request, ())
    async with context.database.read() as conn:
        sums = await sum_entries(conn)
        unconfigured = await unconfigured_gateways(conn)
        backlog, dead = await count_backlog(conn), await count_dead_letters(conn)
    return JSONResponse(
        {
            "entries": [_alike(key, group) for key, group in _grouped(sums, "status", "reason", "currency")],
            "sources": [_source(key[0], group) for key, group in _grouped(sums, "source")],
            "open": _open(sums),
            "oldest_open": _oldest_open(sums),
            "unconfigured": [unconfigured_json(one) for one in unconfigured],
            "journal_backlog_events": backlog,
            "dead_letters": dead,
        }
    )


def unconfigured_json(one: Unconfigured) -> dict[str, Any]:
    """Recorded refunds of a payment method that no source is configured for."""
    return {
        "store": one.store,
        "method": one.method,
        "currency": one.currency or None,
        "count": one.count,
        "amount": amount(one.amount, one.currency),
    }


def _grouped(sums: Iterable[EntrySum], *names: str) -> list[tuple[tuple[str, ...], list[EntrySum]]]:
    groups: dict[tuple[str, ...], list[EntrySum]] = {}
    for one in sums:
        groups.setdefault(tuple(getattr(one, name) for name in names), []).append(one)
    return sorted(groups.items())


def _alike(key: tuple[str, ...], group: list[EntrySum]) -> dict[str, Any]:
    status, reason, currency = key
    return {
        "status": status,
        "reason": reason or None,
        "currency": currency or None,
        "count": sum(one.count for one in group),
        "at_stake": amount(sum(one.at_stake for one in group), currency),
    }


def _source(source: str, group: list[EntrySum]) -> dict[str, Any]:
    statuses = {status: sum(one.count for one in found) for (status,), found in _grouped(group, "status")}
    return {"source": source, "count": statuses, "open": _open(group), "oldest_open": _oldest_open(group)}


def _open(sums: Iterable[EntrySum]) -> int:
    return sum(one.count for one in sums if _is_open(one))


def _oldest_open(sums: Iterable[EntrySum]) -> str | None:
    return time(min((one.oldest for one in sums if _is_open(one)), default=None))


def _is_open(one: EntrySum) -> bool:
    """Whether a person may have something to do with it: it can be resolved."""
    return one.status in OPEN
