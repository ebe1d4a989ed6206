"""The finance report: as JSON, as CSV, as a page."""

import csv
import io
import re
from html import unescape
from typing import Any

from console.report import COLUMNS, last_month, month_report, report_csv, report_html
from ledger.instants import from_rfc3339
from tests.console.harness import Desk, browsing
from tests.console.test_openapi import check
from tests.ledger.build import LATER, at, order, refund

NOVEMBER = {"month": "2026-11", "timezone": "UTC"}


async def some_refunds(desk: Desk) -> None:
    """Two that agree but for 2.50, one of no known order, and one of a payment method with a formula for a name."""
    formula: dict[str, Any] = {"order_id": "7", "method": "=cmd|' /C calc'!A0", "transactions": (), "order_refs": ()}
    await desk.tell(
        order("partially_refunded", 1500, hours=3), refund("re_1", 1250), refund("re_2", 700, payment_ids=())
    )
    await desk.tell(order(**formula), order("partially_refunded", 300, hours=4, **formula))


async def test_the_report_adds_up_the_month(desk: Desk) -> None:
    await some_refunds(desk)
    shown = await desk.get("/api/v1/report", **NOVEMBER)
    check("Report", shown)
    none = {"recorded": "0.00", "recorded_without_amount": 0, "returned": "0.00", "difference": "0.00",
            "exceptions": 0, "exceptions_amount": "0.00"}  # fmt: skip
    open_ = {"exceptions": 1}
    unknown = {"returned": "7.00", "difference": "7.00", "exceptions_amount": "7.00"} | open_
    differs = {"recorded": "15.00", "returned": "12.50", "difference": "-2.50", "exceptions_amount": "2.50"} | open_
    unheard = {"recorded": "3.00", "difference": "-3.00"}
    assert shown["lines"] == [
        {"store": None, "gateway": "stripe", "currency": "GBP"} | none | unknown,
        {"store": "shop", "gateway": "=cmd|' /C calc'!A0", "currency": "GBP"} | none | unheard,
        {"store": "shop", "gateway": "stripe", "currency": "GBP"} | none | differs,
    ]
    assert shown["totals"] == [
        {"currency": "GBP", "recorded": "18.00", "recorded_without_amount": 0, "returned": "19.50",
         "difference": "1.50", "exceptions": 2, "exceptions_amount": "9.50"}
    ]  # fmt: skip


async def test_without_a_month_it_is_the_last_one_that_is_over(desk: Desk) -> None:
    assert (await desk.get("/api/v1/report"))["month"] == last_month(LATER, "UTC") == "2026-11"
    new_year = from_rfc3339("2027-01-01T03:00:00Z")
    assert (last_month(new_year, "UTC"), last_month(new_year, "America/New_York")) == ("2026-12", "2026-11")


async def test_what_is_no_month_and_no_time_zone_is_refused(desk: Desk) -> None:
    for query, said in (
        ("month=2026-13", "month: "),
        ("timezone=Mars", "timezone: "),
        ("month=2026-11&timezone=Mars", "timezone: "),
        ("day=1", "'day': "),
    ):
        answer = await desk.viewer.get(f"/api/v1/report?{query}")
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith(said)


async def test_the_table_says_the_same_and_holds_no_formula(desk: Desk) -> None:
    await some_refunds(desk)
    report = await month_report(desk.database, "2026-11", "UTC")
    lines = list(csv.DictReader(io.StringIO(report_csv(report), newline="")))
    assert tuple(lines[0]) == COLUMNS
    shown = (await desk.get("/api/v1/report", **NOVEMBER))["lines"]
    assert [line["difference"] for line in lines] == [line["difference"] for line in shown]
    assert [line["gateway"] for line in lines] == ["stripe", "'=cmd|' /C calc'!A0", "stripe"]


async def test_the_file_to_print_is_whole_in_itself_and_escapes_what_comes_from_outside(desk: Desk) -> None:
    method = "<script>alert(1)</script>"
    hostile: dict[str, Any] = {"method": method, "transactions": ()}
    await desk.tell(order(**hostile), order("partially_refunded", 1500, hours=3, **hostile))
    html = report_html(await month_report(desk.database, "2026-11", "UTC"), at(0))
    assert "&lt;script&gt;" in html
    assert method not in html
    assert "15.00\N{NO-BREAK SPACE}GBP" in html
    assert "href" not in html
    assert "src=" not in html


async def test_the_page_shows_it_and_what_is_open_is_a_link_away(desk: Desk) -> None:
    await some_refunds(desk)
    async with browsing(desk, "vic") as browser:
        page = await browser.get("/report?month=2026-11")
        assert "Refunds in 2026-11" in page
        assert "\N{MINUS SIGN}2.50\N{NO-BREAK SPACE}GBP" in page
        [link] = re.findall(r'href="(/exceptions\?[^"]*)">2</a>', page)
        assert "2 entries" in await browser.get(unescape(link))
        assert "Nothing happened in 1999-01" in await browser.get("/report?month=1999-01")
        assert "is no time zone" in await browser.get("/report?timezone=Mars", status=400)
        assert (await browser.get("/report.csv?month=2026-11")).startswith(",".join(COLUMNS))


async def test_without_signing_in_there_is_no_report(desk: Desk) -> None:
    for path in ("/report", "/report.csv"):
        assert (await desk.anybody.get(path)).headers["location"].startswith("/signin")
    assert (await desk.anybody.get("/api/v1/report")).status_code == 401
