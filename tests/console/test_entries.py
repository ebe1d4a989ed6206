"""The ledger as the API shows it: pages, filters, one entry, its history, suggestions."""

import csv
from html import unescape
from typing import Any

from ledger.facts import Fact
from ledger.instants import to_rfc3339
from ledger.judge import entry_id
from ledger.present import entry_json
from tests.console.harness import UNKNOWN_ID, Desk, browsing, ids
from tests.ledger.build import at, order, refund


def stray(number: int, hours: int) -> Fact:
    return refund(f"re_{number}", hours=hours, payment_ids=(f"pi_{number}",))


async def everything(desk: Desk, cursor: str | None = "", **query: str) -> list[dict[str, Any]]:
    """Page by page, from the cursor on."""
    found: list[dict[str, Any]] = []
    while cursor is not None:
        page = await desk.get("/api/v1/entries", cursor=cursor, **query)
        found += page["entries"]
        cursor = page["next_cursor"]
    return found


async def test_entries_are_shown_as_the_contract_says(desk: Desk) -> None:
    await desk.tell(order("partially_refunded", 1500, hours=4), refund("re_1", 1250))
    page = await desk.get("/api/v1/entries")
    assert page == {"entries": [entry_json(entry) for entry in desk.expected()], "next_cursor": None}
    assert page["entries"][0]["reason"] == "amount_mismatch"
    assert page["entries"][0]["difference"] == "-2.50"


async def test_an_empty_ledger_is_an_empty_page(desk: Desk) -> None:
    assert await desk.get("/api/v1/entries") == {"entries": [], "next_cursor": None}


async def test_pages_come_in_order_of_opening_and_meet_without_gap(desk: Desk) -> None:
    await desk.tell(*(stray(i, hours=i % 5) for i in range(25)))
    paged = ids(await everything(desk, limit="7"))
    assert paged == [entry.id for entry in desk.expected()]


async def test_paging_stays_right_while_entries_change(desk: Desk) -> None:
    await desk.tell(*(stray(i, hours=2 * i) for i in range(20)))
    standing = [entry.id for entry in desk.expected()]
    first = await desk.get("/api/v1/entries", limit="10")
    # Before and behind the end of the page one comes in, one changes its status, and the last one shown goes away.
    await desk.tell(stray(100, hours=1), stray(101, hours=31), order(transactions=("pi_3", "pi_15")))
    seen = ids(first["entries"]) + ids(await everything(desk, limit="10", cursor=first["next_cursor"]))
    assert len(seen) == len(set(seen))
    assert set(standing) <= set(seen)
    assert entry_id(("refund", "stripe", "re_101")) in seen
    assert entry_id(("refund", "stripe", "re_100")) not in seen


CHOSEN: list[tuple[dict[str, str], list[int]]] = [
    ({}, [1, 2, 3]),
    ({"status": "matched"}, [1]),
    ({"status": "unmatched", "reason": "order_unknown"}, [2, 3]),
    ({"source": "anet"}, [3]),
    ({"source": "shop"}, [1]),
    ({"order": "1001"}, [1]),
    ({"order": "1002"}, []),
    ({"since": to_rfc3339(at(10))}, [2, 3]),
    ({"until": to_rfc3339(at(10))}, [1]),
    ({"since": "2026-11-01T12:00:00+02:00", "until": "2026-11-02"}, [2]),
    ({"status": "", "reason": "", "since": ""}, [1, 2, 3]),
]


async def test_filters_choose(desk: Desk) -> None:
    await desk.tell(order("partially_refunded", 1500), refund("re_1"), stray(2, hours=10))
    await desk.tell(refund("re_3", hours=50, source="anet", payment_ids=("3",)))
    for query, numbers in CHOSEN:
        found = (await desk.get("/api/v1/entries", **query))["entries"]
        assert [entry["gateway_refunds"][0]["id"] for entry in found] == [f"re_{n}" for n in numbers], query


ASKED_WRONG = [
    ("status=open", "status: has to be one of pending"),
    ("reason=lost", "reason: has to be one of missing_in_storefront"),
    ("source=Stripe!", "source: has to be the name of a source"),
    ("order=" + "9" * 256, "order: is longer than 255"),
    ("since=yesterday", "since: has to be a time as"),
    ("since=2026-11-01T12:00:00+02:00", "a + is written %2B"),
    ("until=99999-01-01T00:00:00Z", "until: has to be a time as"),
    ("limit=0", "limit: has to be a whole number from 1 to 1000"),
    ("limit=1001", "limit: has to be a whole number from 1 to 1000"),
    ("limit=ten", "limit: has to be a whole number from 1 to 1000"),
    ("limit=%D9%A3", "limit: has to be a whole number from 1 to 1000"),
    ("cursor=none", "cursor: is not one that a page gave"),
    ("cursor=%C3%A9", "cursor: is not one that a page gave"),
    ("stat=matched", "'stat': is not a parameter here; did you mean status?"),
    ("status=matched&status=closed", "status: is given twice"),
]


async def test_what_is_asked_wrong_is_told_with_its_mend(desk: Desk) -> None:
    for query, named in ASKED_WRONG:
        answer = await desk.viewer.get(f"/api/v1/entries?{query}")
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"
        assert named in answer.json()["detail"]


async def test_one_entry_comes_with_its_history(desk: Desk) -> None:
    await desk.tell(order("partially_refunded", 1500))
    [recorded] = desk.expected()
    await desk.tell(refund("re_1", hours=1))
    [paired] = desk.expected()
    shown = await desk.get(f"/api/v1/entries/{paired.id}")
    history = shown.pop("history")
    assert shown == entry_json(paired)
    assert [line["status"] for line in history if line["entry_id"] == recorded.id] == ["unmatched", None]
    [began] = [line for line in history if line["status"] == "matched"]
    assert began["change"]["gateway_amount"] == [None, "15.00"]
    assert all(line["caused_by"] for line in history)


async def test_a_former_id_answers_with_the_current_entry(desk: Desk) -> None:
    await desk.tell(order("partially_refunded", 1500))
    [former] = desk.expected()
    await desk.tell(refund("re_1", hours=1))
    [current] = desk.expected()
    assert former.id != current.id
    assert (await desk.get(f"/api/v1/entries/{former.id}"))["id"] == current.id


async def test_an_unknown_entry_is_404(desk: Desk) -> None:
    for unknown in (UNKNOWN_ID, "nothing", "%00", "%F0%9F%98%80", "A" * 32):
        answer = await desk.viewer.get(f"/api/v1/entries/{unknown}")
        assert (answer.status_code, answer.json()["detail"]) == (404, "There is no entry with this id.")


async def test_a_refund_without_an_order_gets_suggestions_nearest_first(desk: Desk) -> None:
    await desk.tell(
        order(order_id="1", total=1500, hours=0, transactions=(), order_refs=()),
        order(order_id="2", total=1500, hours=52, transactions=(), order_refs=()),
        order(order_id="3", total=4000, hours=49, transactions=(), order_refs=()),
        order(order_id="4", total=1000, hours=50, transactions=(), order_refs=()),
        order(order_id="5", total=1500, hours=50, transactions=(), order_refs=(), currency="EUR"),
        stray(1, hours=50),
    )
    entry = await desk.entry()
    assert entry["reason"] == "order_unknown"
    assert entry["order_id"] is None
    assert entry["suggestions"] == [
        {
            "store": "shop",
            "order_id": "2",
            "reason": "has the same total, 15.00 GBP, and was placed 2 hours after the refund",
        },
        {
            "store": "shop",
            "order_id": "1",
            "reason": "has the same total, 15.00 GBP, and was placed 2 days before the refund",
        },
        {
            "store": "shop",
            "order_id": "3",
            "reason": "has a larger total, 40.00 GBP, and was placed 1 hour before the refund",
        },
    ]
    assert (await desk.get(f"/api/v1/entries/{entry['id']}"))["suggestions"] == entry["suggestions"]


async def test_an_ambiguous_refund_keeps_the_orders_that_carry_its_reference(desk: Desk) -> None:
    await desk.tell(order(order_id="1"), order(order_id="2"), refund("re_1"))
    entry = await desk.entry()
    assert entry["reason"] == "order_ambiguous"
    assert {s["order_id"] for s in entry["suggestions"]} == {"1", "2"}
    assert not any("total" in s["reason"] for s in entry["suggestions"])


async def test_an_entry_that_several_gateways_paid_is_found_by_each(desk: Desk) -> None:
    paid_by_anet = refund("re_2", 500, source="anet", payment_ids=("5",), order_refs=("1001",))
    await desk.tell(order("partially_refunded", 1500, hours=4), refund("re_1", 1000), paid_by_anet)
    [entry] = desk.expected()
    assert {refund.source for refund in entry.gateway_refunds} == {"stripe", "anet"}
    for source, found in (("stripe", [entry.id]), ("anet", [entry.id]), ("shop", [entry.id]), ("st_ipe", [])):
        assert ids((await desk.get("/api/v1/entries", source=source))["entries"]) == found


async def test_each_side_is_shown_in_its_own_currency(desk: Desk) -> None:
    await desk.tell(order("partially_refunded", 1500, currency="JPY", hours=4), refund("re_1", 1250))
    [shown] = (await desk.get("/api/v1/entries"))["entries"]
    assert shown["reason"] == "currency_mismatch"
    assert (shown["gateway_amount"], shown["currency"], shown["storefront_amount"]) == ("12.50", "GBP", "1500")
    [line] = (await desk.get(f"/api/v1/entries/{shown['id']}"))["history"]
    assert line["change"]["gateway_amount"] == [None, "12.50"]
    assert line["change"]["storefront_amount"] == [None, "1500"]
    [cells] = csv.DictReader((await desk.viewer.get("/api/v1/export.csv")).text.splitlines())
    assert (cells["storefront_amount"], cells["storefront_currency"]) == ("1500", "JPY")
    async with browsing(desk) as ann:
        for page in ("/search?q=1001", "/orders/shop/1001"):
            assert "1,500\N{NO-BREAK SPACE}JPY" in unescape(await ann.get(page))
