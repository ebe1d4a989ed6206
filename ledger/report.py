"""The finance report: what was recorded and what was returned in a month, and what of it is open.

What puts something in a month is its own time, by the clock of the side that told it: a gateway refund counts when
the gateway made it, a storefront refund when the storefront recorded it, an exception when it was opened. A month
begins and ends at midnight in the time zone that is asked for.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, tzinfo
from functools import reduce
from typing import Any

from ledger.instants import Instant, from_rfc3339
from ledger.money import to_decimal


@dataclass(frozen=True, slots=True)
class Sums:
    """What is added up. Amounts are ISO minor units of one currency."""

    recorded: int = 0
    """What the storefront recorded as refunded, where it told an amount."""
    recorded_without_amount: int = 0
    """How many recorded refunds have no amount: the storefront told only a status."""
    returned: int = 0
    """What the gateway gave back: refunds that succeeded, voids that returned money, chargebacks not given back."""
    exceptions: int = 0
    """How many entries are unmatched."""
    exceptions_amount: int = 0
    """The money that they are about, where it is known."""

    @property
    def difference(self) -> int:
        """Returned minus recorded, as in an entry."""
        return self.returned - self.recorded

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Sums)))


@dataclass(frozen=True, slots=True)
class ReportLine:
    """The sums of one store, gateway and currency."""

    store: str | None
    """None where the order is not known."""
    gateway: str | None
    """The source; or the payment method that no source is configured for; None where neither is known."""
    currency: str
    sums: Sums


@dataclass(frozen=True, slots=True)
class Report:
    """A month. Lines are sorted; `totals` has one line for each currency."""

    month: str
    timezone: str
    since: Instant
    until: Instant
    lines: tuple[ReportLine, ...]

    @property
    def totals(self) -> list[tuple[str, Sums]]:
        """What the lines add up to, by currency."""
        by_currency: defaultdict[str, list[Sums]] = defaultdict(list)
        for line in self.lines:
            by_currency[line.currency].append(line.sums)
        return [(currency, reduce(Sums.__add__, sums)) for currency, sums in sorted(by_currency.items())]


def bounds(month: str, zone: tzinfo) -> tuple[Instant, Instant]:
    """From when, and before when, a month as "2026-11" lasts in the time zone. Raises ValueError."""
    match = re.fullmatch(r"([0-9]{4})-(0[1-9]|1[0-2])", month)
    if not match or not 1970 <= int(match[1]) < 9000:
        raise ValueError('a month is written as "2026-11"')
    year, number = int(match[1]), int(match[2])
    following = (year + 1, 1) if number == 12 else (year, number + 1)
    return _midnight(year, number, zone), _midnight(*following, zone)


def month_before(month: str) -> str:
    """The month before this one."""
    year, number = int(month[:4]), int(month[5:])
    return f"{year:04d}-{number - 1:02d}" if number > 1 else f"{year - 1:04d}-12"


def add_up(parts: Iterable[ReportLine]) -> tuple[ReportLine, ...]:
    """One line for each store, gateway and currency that have anything, in order."""
    found: defaultdict[tuple[str | None, str | None, str], Sums] = defaultdict(Sums)
    for part in parts:
        found[part.store, part.gateway, part.currency] += part.sums
    lines = (ReportLine(*key, sums) for key, sums in found.items() if sums != Sums())
    return tuple(sorted(lines, key=lambda one: (one.store or "", one.gateway or "", one.currency)))


def report_json(report: Report) -> dict[str, Any]:
    """The report as the API shows it: amounts as decimal strings in major units."""
    lines = [
        {"store": line.store, "gateway": line.gateway, "currency": line.currency or None}
        | sums_json(line.sums, line.currency)
        for line in report.lines
    ]
    totals = [{"currency": currency or None} | sums_json(sums, currency) for currency, sums in report.totals]
    return {"month": report.month, "timezone": report.timezone, "lines": lines, "totals": totals}


def sums_json(sums: Sums, currency: str) -> dict[str, Any]:
    """The sums as the API shows them."""
    return {
        "recorded": to_decimal(sums.recorded, currency),
        "recorded_without_amount": sums.recorded_without_amount,
        "returned": to_decimal(sums.returned, currency),
        "difference": to_decimal(sums.difference, currency),
        "exceptions": sums.exceptions,
        "exceptions_amount": to_decimal(sums.exceptions_amount, currency),
    }


def _midnight(year: int, month: int, zone: tzinfo) -> Instant:
    start = datetime(year, month, 1, tzinfo=zone).astimezone(UTC)
    return from_rfc3339(start.isoformat())
