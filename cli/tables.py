"""The ledger as people read it in a terminal.

Texts from outside are shown as plain text without control characters: an order's number must not move the cursor.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from ledger.entries import Entry
from ledger.facts import Decision
from ledger.instants import SECOND, Instant, to_rfc3339
from ledger.money import to_decimal
from ledger.report import Report, Sums

if TYPE_CHECKING:
    from storage.entries import HistoryLine

NONE = "–"  # noqa: RUF001 - a dash in the place of an amount
_COLOURS = {"matched": "green", "pending": "yellow", "unmatched": "red", "closed": "dim", "resolved": "cyan"}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WIDE = 96
"""From so many columns on there is room for dates beside ages."""


def terminal() -> Console:
    """Where tables go. Without a terminal they are 100 wide, and have no colours."""
    console = Console(highlight=False, markup=False, emoji=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, emoji=False, width=100)


def plain(text: str) -> str:
    """The text without what could deceive a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def money(minor: int | None, currency: str) -> str:
    """As "1,204.35"."""
    if minor is None:
        return NONE
    whole, point, decimals = to_decimal(minor, currency).partition(".")
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{int(whole.lstrip('-')):,}{point}{decimals}"


def age(since: Instant, now: Instant) -> str:
    """As "35 h"; a time to come as "in 35 h"."""
    seconds = abs(now - since) // SECOND
    text = f"{seconds // 60} min"
    if seconds >= 3 * 86_400:
        text = f"{seconds // 86_400} d"
    elif seconds >= 2 * 3_600:
        text = f"{seconds // 3_600} h"
    return text if since <= now else f"in {text}"


def date(instant: Instant) -> str:
    """As "22 Nov 02:23", UTC."""
    _, month, day, hour, minute = to_rfc3339(instant)[:16].replace("T", "-").replace(":", "-").split("-")
    return f"{int(day)} {_MONTHS[int(month) - 1]} {hour}:{minute}"


def order_name(entry: Entry) -> str:
    """The order's number, or that there is none."""
    return plain(entry.order_id) if entry.order_id else NONE


def status_text(status: str, reason: str | None) -> Text:
    """The reason where there is one, else the status, in the colour of the status."""
    return Text(reason or status, style=_COLOURS.get(status, ""))


def entry_table(entries: Iterable[Entry], now: Instant, width: int) -> Table:
    """One line for each entry."""
    table = _table(
        Column("Entry", style="dim"),
        Column("Order"),
        Column("Status or reason", no_wrap=True),
        Column("Gateway", justify="right"),
        Column("Storefront", justify="right"),
        Column(""),
        *([Column("Since (UTC)")] if width >= _WIDE else []),
        Column("Age", justify="right", no_wrap=True),
    )
    for entry in entries:
        table.add_row(
            entry.id[:8],
            order_name(entry),
            status_text(entry.status, entry.reason),
            money(entry.gateway_amount, entry.currency),
            *other_side(entry),
            *([date(entry.opened_at)] if width >= _WIDE else []),
            age(entry.opened_at, now),
        )
    return table


def exceptions(entries: Iterable[Entry], now: Instant, width: int) -> RenderableType:
    """For each entry a line of what is wrong since when, and below it why."""
    entries = list(entries)
    rows = [_exception_cells(entry, now, width) for entry in entries]
    head = [
        "Order",
        "Status or reason",
        "Gateway",
        "Storefront",
        "At stake",
        "Since (UTC)" if width >= _WIDE else "Since",
    ]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines: list[RenderableType] = [Text(_aligned(head, widths), style="bold")]
    for entry, row in zip(entries, rows, strict=True):
        line = Text(_aligned(row, widths))
        line.stylize(_COLOURS[entry.status], widths[0] + 2, widths[0] + 2 + widths[1])
        lines += [line, Padding(Text(plain(entry.explanation), style="dim"), (0, 0, 0, widths[0] + 2))]
    return Group(*lines)


def entry_details(
    entry: Entry, history: Sequence["HistoryLine"], decisions: Mapping[str, Decision], now: Instant
) -> RenderableType:
    """Everything about one entry: both sides, why, and how it came about."""
    since = f"since {date(entry.opened_at)} UTC ({age(entry.opened_at, now)})"
    title = Text.assemble(status_text(entry.status, entry.reason), f"  {since}  ", (f"entry {entry.id}", "dim"))
    parts: list[RenderableType] = [title, Text(plain(entry.explanation)), _members(entry)]
    if entry.resolution:
        by = f"{entry.resolution.actor} at {date(entry.resolution.at)} UTC"
        parts.append(Text(plain(f"Resolved by {by}: {entry.resolution.reason}"), style="cyan"))
    parts += [
        Text(plain(f"Perhaps order {suggestion.order_id} of {suggestion.store}: {suggestion.reason}"), style="yellow")
        for suggestion in entry.suggestions
    ]
    parts.append(_history(history, decisions))
    return Group(*parts)


def simple_table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, heads_shown: bool = True) -> Table:
    """A table of texts."""
    table = _table(*(Column(head) for head in heads))
    table.show_header = heads_shown
    for row in rows:
        table.add_row(*(Text(plain(str(cell))) for cell in row))
    return table


def _table(*columns: Column) -> Table:
    return Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")


def other_side(entry: Entry) -> tuple[str, str]:
    """The storefront's amount and the currency; of two currencies each is named."""
    recorded = entry.storefront_currency
    currencies = entry.currency if recorded == entry.currency else f"{entry.currency}/{recorded}"
    return money(entry.storefront_amount, recorded), currencies


def _exception_cells(entry: Entry, now: Instant, width: int) -> list[str]:
    storefront, currencies = other_side(entry)
    if currencies != entry.currency:
        storefront = f"{storefront} {currencies.partition('/')[2]}"
    stake = entry.amount_at_stake if entry.amount_at_stake is not None else entry.storefront_amount
    since = age(entry.opened_at, now)
    return [
        order_name(entry),
        entry.reason or entry.status,
        money(entry.gateway_amount, entry.currency),
        storefront,
        NONE if stake is None else f"{money(stake, entry.currency)} {entry.currency}",
        f"{date(entry.opened_at)}, {since}" if width >= _WIDE else since,
    ]


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Texts to the left, amounts (the third to the fifth) to the right."""
    aligned = [c.rjust(w) if 2 <= i <= 4 else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
    return "  ".join(aligned).rstrip()


def _members(entry: Entry) -> RenderableType:
    table = _table(Column(), Column(), Column(justify="right"), Column(), Column(), Column())
    for refund in entry.gateway_refunds:
        what = f"{refund.source} {refund.kind}"
        table.add_row("  gateway", what, money(refund.amount, refund.currency), refund.currency,
                      refund.status, f"{date(refund.at)}  {plain(refund.id)}")  # fmt: skip
    for recorded in entry.storefront_refunds:
        told = "" if recorded.verified else "no amount told"
        table.add_row("  storefront", plain(entry.store or ""), money(recorded.amount, recorded.currency),
                      recorded.currency, told, date(recorded.at))  # fmt: skip
    if entry.expected_amount is not None:
        table.add_row("  to go back", "", money(entry.expected_amount, entry.currency), entry.currency, "", "")
    return table


def _history(lines: Iterable["HistoryLine"], decisions: Mapping[str, Decision]) -> RenderableType:
    table = _table(Column(style="dim"), Column(style="dim"), Column(style="dim"))
    for line in lines:
        # The end of an entry whose id leads to this one has no status; what became of it is told.
        became = f"{line.status} {line.reason}".strip() or line.explanation
        events = ", ".join(map(str, line.caused_by[:5])) + (", …" if len(line.caused_by) > 5 else "")
        cause = f"after event {events}" if events else "as time passed"
        if decision := decisions.get(line.decision_id or ""):
            said = _said(decision)
            cause = f"{decision.action} by {decision.actor}{said and ': '}{said}"
        table.add_row(f"  {date(line.at)}", became, plain(cause))
    return table


def _said(decision: Decision) -> str:
    """What was decided, beside the action."""
    match decision.action:
        case "link":
            return f"order {decision.order_id} of {decision.store}"
        case "snooze":
            return "over" if decision.until is None else f"until {date(decision.until)} UTC"
        case "assign":
            return decision.text or "nobody"
    return decision.text


def report_table(report: Report) -> RenderableType:
    """The lines of a finance report, and below them the totals."""
    heads = ("Recorded", "Returned", "Difference", "Exceptions", "Their amount")
    table = _table(Column("Store"), Column("Gateway"), Column(""), *(Column(head, justify="right") for head in heads))
    for line in report.lines:
        table.add_row(plain(line.store or NONE), plain(line.gateway or NONE), *_figures(line.sums, line.currency))
    table.add_section()
    for currency, sums in report.totals:
        table.add_row("All", "", *_figures(sums, currency), style="bold")
    return table


def _figures(sums: Sums, currency: str) -> list[str]:
    recorded = money(sums.recorded, currency)
    if sums.recorded_without_amount:
        recorded += f" and {sums.recorded_without_amount} unknown"
    amounts = (money(minor, currency) for minor in (sums.returned, sums.difference))
    return [currency, recorded, *amounts, str(sums.exceptions), money(sums.exceptions_amount, currency)]
