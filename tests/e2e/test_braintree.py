"""Braintree over HTTP: what it sends and what it is asked, through the real listener to the entries of the ledger."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sources.polling import HOUR
from tests.e2e.shop import NOW, Shop, opened
from tests.fakes.braintree import (
    MERCHANT,
    PRIVATE,
    PUBLIC,
    FakeBraintree,
    dispute,
    form,
    mac,
    notification,
    refund,
    transaction,
)


@pytest.fixture
def fake() -> FakeBraintree:
    return FakeBraintree()


@pytest.fixture
async def shop(tmp_path: Path, fake: FakeBraintree, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    with fake.serving() as base:
        own = {"kind": "braintree", "public_key": PUBLIC, "private_key": PRIVATE, "merchant_id": MERCHANT,
               "api_base": base, "requests_per_second": "100"}  # fmt: skip
        settings = {f"SOURCES__BRAINTREE__{name}": value for name, value in own.items()}
        async with opened(tmp_path, monkeypatch, settings) as made:
            yield made


def sale(own: str, status: str = "settled", *steps: str, **more: object) -> dict[str, object]:
    return transaction(own, "sale", "100.00", status, *steps, **more)


async def test_ordinary_refunds_and_voids_send_nothing_and_are_found_by_polling(
    shop: Shop, fake: FakeBraintree
) -> None:
    fake.has(
        sale("p1", order_id="1"),
        sale("p2"),
        sale("p3", "voided", "submitted_for_settlement"),
        sale("p4", "voided", "authorized"),
        refund("r1", "p1", "15.00"),
        refund("r2", "p2", "7.00", "processor_declined"),
    )
    await shop.ordered(1, "", 15_00)  # found by its number
    await shop.ordered(2, "p2", 7_00)
    await shop.ordered(3, "p3", 100_00)

    assert await shop.poll("braintree") == 4
    assert await shop.poll("braintree") == 0  # all of it is known
    assert await shop.entries() == [
        "matched |  | 1 | refund succeeded 1500 | 1500",
        "matched |  | 3 | void succeeded 10000 | 10000",
        "unmatched | refund_failed | 2 | refund failed 700 | 700",
    ]


async def test_a_refund_under_way_settles_and_another_comes_back_from_the_bank(shop: Shop, fake: FakeBraintree) -> None:
    by_bank = {"payment_instrument_type": "us_bank_account"}
    fake.has(sale("p1"), sale("p2"), refund("r1", "p1", "15.00", "settling"), refund("r2", "p2", "7.00", **by_bank))
    await shop.ordered(1, "p1", 15_00)
    await shop.ordered(2, "p2", 7_00)
    await shop.poll("braintree")
    assert await shop.entries() == [
        "matched |  | 2 | refund succeeded 700 | 700",
        "unmatched | missing_in_gateway | 1 | refund pending 1500 | 1500",
    ]

    fake.has(refund("r1", "p1", "15.00", updated_at="2026-11-25T13:00:00Z"))
    returned = refund("r2", "p2", "7.00", "settlement_declined", updated_at="2026-11-30T12:00:00Z", **by_bank)
    await shop.poll("braintree", NOW + 2 * HOUR)
    assert await shop.told("braintree", form(notification("transaction_settlement_declined", returned))) == ["accepted"]

    assert await shop.entries() == [
        "matched |  | 1 | refund succeeded 1500 | 1500",
        "unmatched | refund_failed | 2 | refund failed 700 | 700",
    ]


async def test_webhooks_tell_a_failed_refund_and_disputes_won_and_lost(shop: Shop, fake: FakeBraintree) -> None:
    fake.has(sale("p1"), sale("p2"), sale("p3"), refund("r1", "p1", "15.00", "processor_declined"))
    told = [
        form(notification("refund_failed", {"id": "r1", "amount": "15.00", "status": "processor_declined"})),
        form(notification("dispute_won", dispute("d2", "p2", "20.00", "won", amount_won="20.00"))),  # out of order
        form(notification("dispute_opened", dispute("d2", "p2", "20.00"))),
        form(notification("dispute_opened", dispute("d3", "p3", "30.00"))),
        form(notification("dispute_lost", dispute("d3", "p3", "30.00", "lost"))),
        form(notification("dispute_opened", dispute("d4", "p1", "99.00", kind="retrieval"))),
        form(notification("check", {})),
    ]
    assert await shop.told("braintree", *told) == ["accepted"] * 6 + ["ignored"]
    await shop.ordered(1, "p1", 15_00)
    await shop.ordered(2, "p2", 0)
    await shop.ordered(3, "p3", 0)
    await shop.poll("braintree")

    assert await shop.entries() == [
        "closed |  | 2 | chargeback reversed 2000 | ",
        "unmatched | missing_in_storefront | 3 | chargeback succeeded 3000 | ",
        "unmatched | refund_failed | 1 | refund failed 1500 | 1500",
    ]


async def test_duplicates_and_many_at_once_count_once(shop: Shop) -> None:
    bodies = [form(notification("refund_failed", refund(f"r{n}", f"p{n}", "1.00"))) for n in range(5)]
    replies = await asyncio.gather(*(shop.told("braintree", body) for body in bodies * 3))

    assert sorted(replies) == [["accepted"]] * 5 + [["duplicate"]] * 10


async def test_a_wrong_signature_is_401_and_leaves_nothing(shop: Shop) -> None:
    content = notification("refund_failed", refund("r1", "p1", "1.00"))
    challenge = "20f9f8ed05f77439fe955c977e4c8a53"
    replies = [
        await shop.send("braintree", form(content, private="another")),
        await shop.send("braintree", form(content, public="another")),
        await shop.send("braintree", form(content).replace(b"bt_payload=P", b"bt_payload=Q")),
        await shop.send("braintree", content),
        await shop.send("braintree", f"bt_payload={challenge}&bt_signature={PUBLIC}%7C{mac(challenge)}".encode()),
        await shop.send("braintree", b"\xff" * 1000),
        await shop.send("braintree", b""),
    ]

    assert [reply.status_code for reply in replies] == [401] * 7
    assert await shop.entries() == []


async def test_the_check_of_the_address_is_answered_and_nothing_else_is(shop: Shop) -> None:
    path = "/webhooks/braintree"
    checked = await shop.client.get(path, params={"bt_challenge": "20f9f8ed05f77439fe955c977e4c8a53"})

    assert (checked.status_code, checked.text) == (200, f"{PUBLIC}|d9b899556c966b3f06945ec21311865d35df3ce4")
    assert checked.headers["content-type"] == "text/plain"
    for query in ({}, {"bt_challenge": ""}, {"bt_challenge": "<script>"}):
        assert (await shop.client.get(path, params=query)).status_code == 405
    assert (await shop.client.head(path, params={"bt_challenge": "a" * 20})).status_code == 405
    assert (await shop.client.get("/webhooks/shop", params={"bt_challenge": "a" * 20})).status_code == 405


async def test_authentic_nonsense_is_taken_set_aside_and_never_an_entry(shop: Shop) -> None:
    good = refund("r1", "p1", "1.00")
    wrong: list[dict[str, object]] = [
        {"amount": "9" * 5000}, {"amount": "1.001"}, {"amount": None}, {"amount": "-1.00"}, {"id": None},
        {"created_at": "9" * 99}, {"currency_iso_code": "POUNDS"}, {"id": {"id": "x"}},
    ]  # fmt: skip
    told = [notification("refund_failed", good | changes) for changes in wrong]
    told += [
        b"\xff\xfe",
        b"<a>" * 100_000,
        b"not XML",
        b'<!DOCTYPE a [<!ENTITY b "c">]><notification>&b;</notification>',
    ]

    assert set(await shop.told("braintree", *map(form, told))) == {"accepted"}
    assert await shop.entries() == []
