"""The finance report: its sums are the sums over the members of the entries, to the cent."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import delete, event

from ledger.entries import Entry
from ledger.facts import Fact
from ledger.instants import Instant, from_rfc3339
from ledger.report import ReportLine, Sums, bounds
from storage.database import Database
from storage.entries import write_entries
from storage.report import report_lines
from storage.schema import entries as entries_table
from tests.ledger.build import LATER, at, entries, moved, order, paid, refund
from tests.ledger.histories import histories

EVER = (0, LATER * 2)


async def reported(database: Database, found: Iterable[Entry], since: Instant, until: Instant) -> list[ReportLine]:
    """The report on a ledger that consists of these entries."""
    async with database.write() as conn:
        await conn.execute(delete(entries_table))
        await write_entries(conn, list(found))
    async with database.read() as conn:
        return list(await report_lines(conn, since, until))


def added_up(found: Iterable[Entry], since: Instant, until: Instant) -> dict[tuple[str | None, str, str], Sums]:
    """The same, member by member."""
    sums: defaultdict[tuple[str | None, str, str], Sums] = defaultdict(Sums)
    for e in found:
        gateway = e.unconfigured or (e.gateway_refunds[0].source if e.gateway_refunds else "")
        for r in e.gateway_refunds:
            if since <= r.at < until:
                sums[e.store, r.source, r.currency] += Sums(returned=r.returned)
        for s in e.storefront_refunds:
            if since <= s.at < until:
                told = Sums(recorded_without_amount=1) if s.amount is None else Sums(recorded=s.amount)
                sums[e.store, gateway, s.currency] += told
        if e.status == "unmatched" and since <= e.opened_at < until:
            sums[e.store, gateway, e.currency] += Sums(exceptions=1, exceptions_amount=e.amount_at_stake or 0)
    return {key: one for key, one in sums.items() if one != Sums()}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(facts=histories())
async def test_sums_are_those_of_the_members_of_the_month(database: Database, facts: list[Fact]) -> None:
    found = entries(*facts)
    for since, until in (EVER, (at(0), at(20)), (at(20), at(60))):
        lines = await reported(database, found, since, until)
        by_key = {(line.store, line.gateway or "", line.currency): line.sums for line in lines}
        assert by_key == added_up(found, since, until)
        assert len(lines) == len(by_key)


async def test_both_sides_are_those_of_one_moment(database: Database) -> None:
    asked: list[str] = []
    async with database.read() as conn:
        event.listen(conn.sync_connection, "before_cursor_execute", lambda *told: asked.append(told[2]))
        await report_lines(conn, *EVER)
    assert len([statement for statement in asked if statement != "BEGIN"]) == 1


async def test_a_pair_across_midnight_counts_in_both_months(database: Database) -> None:
    found = entries(order("partially_refunded", 1500, hours=5), refund("re_1", 1500, hours=2))
    [first] = await reported(database, found, at(0), at(5))
    [second] = await reported(database, found, at(5), at(9))
    assert first == ReportLine("shop", "stripe", "GBP", Sums(returned=1500))
    assert second == ReportLine("shop", "stripe", "GBP", Sums(recorded=1500))
    [whole] = await reported(database, found, at(0), at(9))
    assert (whole.sums, whole.sums.difference) == (Sums(recorded=1500, returned=1500), 0)


async def test_what_came_to_nothing_adds_nothing(database: Database) -> None:
    facts: list[Fact] = [
        refund("re_1", status="failed"),
        moved("t1", 900),
        moved("t2", 900, direction="reinstated"),
        order(),
    ]
    assert await reported(database, entries(*facts), *EVER) == []


async def test_a_partial_refund_without_an_amount_is_counted_apart(database: Database) -> None:
    found = entries(paid(), order("partially_refunded", None, hours=5), refund("re_1", 700))
    [line] = await reported(database, found, *EVER)
    assert line.sums == Sums(recorded_without_amount=1, returned=700)


async def test_an_unknown_order_and_an_unknown_gateway_have_lines_of_their_own(database: Database) -> None:
    by_paypal: dict[str, Any] = {"method": "Payments.PayPal", "transactions": (), "order_id": "7", "order_refs": ("7",)}
    told = [order("partially_refunded", 300, hours=2, **by_paypal), order("partially_refunded", 500, hours=2)]
    found = entries(refund("re_1", 200, payment_ids=()), order(), order(hours=0, **by_paypal), *told)
    assert await reported(database, found, *EVER) == [
        ReportLine(None, "stripe", "GBP", Sums(returned=200, exceptions=1, exceptions_amount=200)),
        ReportLine("shop", None, "GBP", Sums(recorded=500, exceptions=1, exceptions_amount=500)),
        ReportLine("shop", "Payments.PayPal", "GBP", Sums(recorded=300)),
    ]


@pytest.mark.parametrize(
    ("month", "zone", "since", "until"),
    [
        ("2026-11", "UTC", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
        ("2026-12", "UTC", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("2026-10", "Europe/London", "2026-09-30T23:00:00Z", "2026-11-01T00:00:00Z"),
        ("2026-11", "America/Los_Angeles", "2026-11-01T07:00:00Z", "2026-12-01T08:00:00Z"),
    ],
)
def test_a_month_begins_at_midnight_in_its_time_zone(month: str, zone: str, since: str, until: str) -> None:
    assert bounds(month, ZoneInfo(zone)) == (from_rfc3339(since), from_rfc3339(until))


@pytest.mark.parametrize("month", ["2026-13", "2026-00", "2026-1", "26-01", "2026-11-01", "9999-12", "", "२०२६-११"])
def test_what_is_no_month_is_refused(month: str) -> None:
    with pytest.raises(ValueError, match="2026-11"):
        bounds(month, ZoneInfo("UTC"))
