"""The finance report of a month: as a page that prints well, as a table for a spreadsheet, as JSON."""

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from config.values import time_zone
from console import parameters
from console.context import Context
from console.drawing import drawn
from console.export import csv_lines, harmless
from console.pages import page
from console.problems import refuse
from ledger.instants import SECOND, Instant
from ledger.report import Report, bounds, month_before, report_json
from storage.database import Database
from storage.report import report_lines

COLUMNS = (
    "month",
    "timezone",
    "store",
    "gateway",
    "currency",
    "recorded",
    "recorded_without_amount",
    "returned",
    "difference",
    "exceptions",
    "exceptions_amount",
)
"""As in the JSON. What is not known is empty."""
_NUMBERS = frozenset(COLUMNS[5:])


async def month_report(database: Database, month: str, timezone: str) -> Report:
    """The report as the ledger stands now. Raises ValueError where the month or the time zone is none."""
    since, until = bounds(month, time_zone(timezone))
    async with database.read() as conn:
        return Report(month, timezone, since, until, await report_lines(conn, since, until))


def last_month(now: Instant, timezone: str) -> str:
    """The last month that is over."""
    return month_before(datetime.fromtimestamp(now // SECOND, UTC).astimezone(time_zone(timezone)).strftime("%Y-%m"))


def report_csv(report: Report) -> str:
    """A line for each store, gateway and currency. There are no totals, so that a column can be added up."""
    shown: dict[str, Any] = {"month": report.month, "timezone": report.timezone}
    rows = ([_cell(name, (shown | line)[name]) for name in COLUMNS] for line in report_json(report)["lines"])
    return csv_lines([COLUMNS, *rows])


def report_html(report: Report, now: Instant) -> str:
    """A file of its own, to be printed or sent."""
    return drawn("report_print.html", report=report, now=now)


async def show_report(context: Context, request: Request) -> Response:
    """The report as JSON."""
    return JSONResponse(report_json(await _asked(context, request)))


async def download_report(context: Context, request: Request) -> Response:
    """The report as CSV."""
    report = await _asked(context, request)
    headers = {"content-disposition": f'attachment; filename="refunds-{report.month}.csv"'}
    return Response(report_csv(report), headers=headers, media_type="text/csv; charset=utf-8")


async def show_report_page(context: Context, request: Request) -> Response:
    """The report as a page."""
    report = await _asked(context, request)
    return page(context, request, "report.html", report=report)


async def _asked(context: Context, request: Request) -> Report:
    given = parameters.query(request, ("month", "timezone"))
    timezone = given.get("timezone", context.report_timezone)
    wrong = "timezone"
    try:
        time_zone(timezone)
        month = given.get("month") or last_month(context.clock(), timezone)
        wrong = "month"
        return await month_report(context.database, month, timezone)
    except ValueError as error:
        refuse(wrong, str(error))


def _cell(name: str, value: object) -> str:
    text = "" if value is None else str(value)
    return text if name in _NUMBERS else harmless(text)
