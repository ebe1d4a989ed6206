"""One order with all that is known of it."""

from ledger.facts import Fact
from ledger.present import entry_json
from tests.console.harness import Desk
from tests.ledger.build import order, paid, refund


async def test_an_order_is_shown_with_facts_entries_and_events(desk: Desk) -> None:
    for fact in (paid(10000, "pi_1"), order("paid"), refund("re_1", 1250), order("partially_refunded", 1500, hours=4)):
        await desk.tell(fact)
    shown = await desk.get("/api/v1/orders/shop/1001")
    assert shown["order"] == {
        "store": "shop",
        "order_id": "1001",
        "currency": "GBP",
        "total": "100.00",
        "refunded": "15.00",
        "payment_status": "partially_refunded",
        "cancelled": False,
        "cancelled_at": None,
        "method": None,
        "transactions": ["pi_1"],
        "placed_at": None,
    }
    assert shown["entries"] == [entry_json(entry) for entry in desk.expected()]
    assert [fact["fact"] for fact in shown["facts"]] == ["payment", "order", "refund", "order"]
    assert shown["facts"][0]["captured"] == "100.00"
    assert shown["facts"][2]["amount"] == "12.50"
    assert shown["facts"][2]["at"] == "2026-11-01T02:00:00Z"
    assert [event["id"] for event in shown["events"]] == sorted({fact["event"] for fact in shown["facts"]})
    assert [event["source"] for event in shown["events"]] == ["stripe", "shop", "stripe", "shop"]
    assert all(set(event) == {"id", "source", "type", "via", "received_at"} for event in shown["events"])


async def test_decisions_are_among_the_events(desk: Desk) -> None:
    await desk.tell(order("partially_refunded", 1500))
    async with desk.followed():
        await desk.decide((await desk.entry())["id"], "note", text="looking")
    shown = await desk.get("/api/v1/orders/shop/1001")
    assert (shown["events"][-1]["via"], shown["events"][-1]["type"]) == ("operator", "note")
    assert (shown["facts"][-1]["fact"], shown["facts"][-1]["text"]) == ("decision", "looking")


async def test_another_order_of_the_same_payment_stays_out(desk: Desk) -> None:
    await desk.tell(order(), order(order_id="1002"))
    shown = await desk.get("/api/v1/orders/shop/1002")
    assert shown["order"]["order_id"] == "1002"
    assert [fact["order_id"] for fact in shown["facts"]] == ["1002"]


async def test_an_order_number_may_hold_what_addresses_are_made_of(desk: Desk) -> None:
    await desk.tell(order("partially_refunded", 1500, order_id="A/1 ?#%"))
    shown = await desk.get("/api/v1/orders/shop/A%2F1%20%3F%23%25")
    assert shown["order"]["order_id"] == "A/1 ?#%"
    assert len(shown["entries"]) == 1


async def test_an_unknown_order_is_404(desk: Desk) -> None:
    await desk.tell(order())
    for path in ("shop/9", "stripe/1001", "shop/%00", "%F0%9F%98%80/1", "shop/%ff"):
        assert (await desk.viewer.get(f"/api/v1/orders/{path}")).status_code == 404


async def test_the_money_of_another_order_stays_out_also_after_a_wrong_link_was_taken_back(desk: Desk) -> None:
    theirs: list[Fact] = [
        paid(10000, "pi_2"),
        order(order_id="1002", order_refs=("1002",), transactions=("pi_2",)),
    ]
    await desk.tell(paid(10000, "pi_1"), order(), refund("re_1", 1500), *theirs)
    async with desk.followed():
        linked = await desk.decide((await desk.entry())["id"], "link", source="shop", order_id="1002")
        await desk.decide(linked.json()["id"], "unlink")
    shown = await desk.get("/api/v1/orders/shop/1002")
    assert sorted(fact["fact"] for fact in shown["facts"]) == ["decision", "decision", "order", "payment"]
    assert [fact["ids"] for fact in shown["facts"] if fact["fact"] == "payment"] == [["pi_2"]]
    assert [event["id"] for event in shown["events"]] == [fact["event"] for fact in shown["facts"]]
