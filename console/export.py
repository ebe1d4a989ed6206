"""The ledger as a table for a spreadsheet."""

import csv
import io
from collections.abc import AsyncIterator, Iterable

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from console import parameters
from console.context import Context
from console.parameters import FILTERS
from ledger.entries import Entry
from ledger.present import entry_json, time
from storage.database import Database
from storage.entries import EntryFilter, page

COLUMNS = (
    "id",
    "status",
    "reason",
    "verified",
    "store",
    "order_id",
    "currency",
    "gateway_amount",
    "storefront_amount",
    "difference",
    "expected_amount",
    "gateway_refunds",
    "storefront_refunds",
    "opened_at",
    "matched_at",
    "lag_seconds",
    "explanation",
    "assigned_to",
    "snoozed_until",
    "resolved_by",
    "resolved_at",
    "resolution",
    "unconfigured",
    "storefront_currency",
)
"""As in the JSON of an entry, and the currency of the storefront's amount. The refunds are "source/id" or ids, with a
blank between them; amounts are plain decimals in major units, times UTC in RFC 3339, and what is not known is empty."""

_NUMBERS = frozenset({"gateway_amount", "storefront_amount", "difference", "expected_amount", "lag_seconds"})
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 (a spreadsheet takes the wide forms too)
_PAGE = 1_000


async def export(context: Context, request: Request) -> Response:
    """All entries that the filters choose, as CSV."""
    chosen = parameters.entry_filter(parameters.query(request, FILTERS))
    pages = csv_pages(context.database, chosen)
    first = await anext(pages)  # a database that fails is told as such, before the answer has begun
    headers = {"content-disposition": 'attachment; filename="refund-ledger.csv"'}
    return StreamingResponse(_chain(first, pages), media_type="text/csv; charset=utf-8", headers=headers)


async def csv_pages(database: Database, chosen: EntryFilter) -> AsyncIterator[str]:
    """The table piece by piece, its header first; no reader stays open between two pieces."""
    lines, cursor = csv_lines([COLUMNS]), None
    while True:
        async with database.read() as conn:
            found, cursor = await page(conn, chosen, _PAGE, cursor)
        yield lines + csv_lines(_cells(entry) for entry in found)
        if cursor is None:
            return
        lines = ""


def csv_lines(rows: Iterable[Iterable[str]]) -> str:
    """The rows as RFC 4180 has them."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


async def _chain(first: str, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for piece in rest:
        yield piece


def _cells(entry: Entry) -> list[str]:
    resolution = entry.resolution
    values: dict[str, object] = {
        **entry_json(entry),
        "verified": "true" if entry.verified else "false",
        "gateway_refunds": " ".join(f"{r.source}/{r.id}" for r in entry.gateway_refunds),
        "storefront_refunds": " ".join(r.id for r in entry.storefront_refunds),
        "resolved_by": resolution and resolution.actor,
        "resolved_at": resolution and time(resolution.at),
        "resolution": resolution and resolution.reason,
        "storefront_currency": entry.storefront_currency,
    }
    return [_cell(name, values[name]) for name in COLUMNS]


def _cell(name: str, value: object) -> str:
    text = "" if value is None else str(value)
    return text if name in _NUMBERS else harmless(text)


def harmless(text: str) -> str:
    """The text so that a spreadsheet does not take it for a formula, and do what it says."""
    return f"'{text}" if text.startswith(_FORMULA) else text
