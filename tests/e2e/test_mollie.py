"""Mollie over HTTP: signed and classic webhooks, and its API, through the real listener to the entries."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sources.mollie import HINTS_PER_HOUR
from tests.e2e.shop import Shop, opened
from tests.fakes.mollie import KEY, SECRET, FakeMollie, chargeback, event, payment, refund, signed


@pytest.fixture
def fake() -> FakeMollie:
    return FakeMollie()


@pytest.fixture
async def shop(tmp_path: Path, fake: FakeMollie, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    with fake.serving() as base:
        own = {"kind": "mollie", "webhook_secrets": json.dumps([SECRET]), "api_key": KEY, "api_base": base,
               "requests_per_second": "100"}  # fmt: skip
        async with opened(tmp_path, monkeypatch, {f"SOURCES__MOLLIE__{n}": value for n, value in own.items()}) as made:
            yield made


async def send(shop: Shop, *bodies: bytes) -> list[str]:
    return [(await shop.send("mollie", body, signed(body))).json()["status"] for body in bodies]


async def test_refunds_fail_and_chargebacks_are_reversed_in_any_order(shop: Shop) -> None:
    back = chargeback("chb_2", "tr_2", "20.00", reversedAt="2026-11-24T13:00:00+00:00")
    told = [
        event("3", "refund.failed", refund("re_1", "tr_1", "15.00", "failed")),
        event("1", "refund.queued", refund("re_1", "tr_1", "15.00", "queued")),
        event("2", "refund.refunded", refund("re_1", "tr_1", "15.00", "refunded")),
        event("5", "chargeback.reversed", back),
        event("4", "chargeback.received", back | {"reversedAt": None}),
        event("6", "chargeback.received", chargeback("chb_3", "tr_3", "30.00")),
        event("7", "refund.canceled", refund("re_4", "tr_4", "9.00", "canceled")),
        json.dumps(refund("re_5", "tr_5", "5.00")).encode(),
        event("8", "payment.paid", payment("tr_6", metadata={"order_id": "6"})),
        event("9", "refund.refunded", refund("re_6", "tr_6", "6.00")),
    ]
    assert await send(shop, *told) == ["accepted"] * 10
    for number, refunded in enumerate((15_00, 0, 0, 0, 5_00), 1):
        await shop.ordered(number, f"tr_{number}", refunded)
    await shop.ordered(6, "", 6_00)  # found by its number

    assert await shop.entries() == [
        "closed |  | 2 | chargeback reversed 2000 | ",
        "closed |  | 4 | refund canceled 900 | ",
        "matched |  | 5 | refund succeeded 500 | 500",
        "matched |  | 6 | refund succeeded 600 | 600",
        "unmatched | missing_in_storefront | 3 | chargeback succeeded 3000 | ",
        "unmatched | refund_failed | 1 | refund failed 1500 | 1500",
    ]


async def test_a_classic_webhook_is_only_a_hint_to_ask(shop: Shop, fake: FakeMollie) -> None:
    fake.has(payment("tr_1", metadata={"order_number": "1"}))
    old = {"createdAt": "2026-09-01T12:00:00+00:00"}  # no list reaches back to it
    fake.refunds += [refund("re_1", "tr_1", "15.00", **old), refund("re_2", "tr_2", "1.00")]
    await shop.ordered(1, "", 15_00)

    assert await shop.told("mollie", b"id=tr_1", b"id=tr_1", b"id=tr_none", b"id=ord_1") == [
        "accepted", "duplicate", "accepted", "ignored",
    ]  # fmt: skip
    fake.refunds.pop()
    await shop.poll("mollie")

    assert await shop.entries() == ["matched |  | 1 | refund succeeded 1500 | 1500"]
    asked = sorted({path for path in fake.faults.requests if "payments" in path})
    assert asked == ["GET /v2/payments/tr_1", "GET /v2/payments/tr_none"]


async def test_a_stranger_fills_neither_the_disk_nor_the_waiting_line(shop: Shop, fake: FakeMollie) -> None:
    statuses = await shop.told("mollie", *(b"id=tr_%d" % n for n in range(HINTS_PER_HOUR + 20)))

    assert statuses == ["accepted"] * HINTS_PER_HOUR + ["ignored"] * 20
    assert await send(shop, event("1", "refund.refunded", refund("re_1", "tr_1", "1.00"))) == ["accepted"]
    await shop.poll("mollie")
    await shop.poll("mollie")
    asked = [path for path in fake.faults.requests if "payments" in path]
    assert len(asked) == len(set(asked)) == HINTS_PER_HOUR
    assert await shop.entries() == ["unmatched | order_unknown |  | refund succeeded 100 | "]


async def test_what_no_webhook_told_is_found_by_polling(shop: Shop, fake: FakeMollie) -> None:
    fake.has(payment("tr_1", metadata={"order_id": "1"}), payment("tr_2"))
    fake.refunds += [refund(f"re_{n}", "tr_1", "1.00", createdAt=f"2026-11-2{n}T12:00:00+00:00") for n in range(5)]
    fake.chargebacks += [chargeback("chb_1", "tr_2", "7.00")]
    await shop.ordered(1, "", 4_00)
    await shop.ordered(2, "tr_2", 0)
    assert await send(shop, event("1", "refund.failed", None, "re_4")) == ["accepted"]
    fake.refunds[4]["status"] = "failed"

    assert await shop.poll("mollie") == 6
    assert await shop.poll("mollie") == 0
    assert await shop.entries() == [
        "closed |  | 1 | refund failed 100 | ",
        "matched |  | 1 | " + "+".join(["refund succeeded 100"] * 4) + " | 400",
        "unmatched | missing_in_storefront | 2 | chargeback succeeded 700 | ",
    ]


async def test_duplicates_and_many_at_once_count_once(shop: Shop) -> None:
    bodies = [event(str(n), "refund.refunded", refund(f"re_{n}", f"tr_{n}", "1.00")) for n in range(5)]
    replies = await asyncio.gather(*(send(shop, body) for body in bodies * 3))

    assert sorted(replies) == [["accepted"]] * 5 + [["duplicate"]] * 10


async def test_a_wrong_signature_is_401_and_leaves_nothing(shop: Shop) -> None:
    body = event("1", "refund.refunded", refund("re_1", "tr_1", "1.00"))
    replies = [
        await shop.send("mollie", body),
        await shop.send("mollie", body, signed(body, "another")),
        await shop.send("mollie", body + b" ", signed(body)),
        await shop.send("mollie", b"id=tr_1&amount=9", {"content-type": "application/x-www-form-urlencoded"}),
        await shop.send("mollie", b"id=tr_1", {"x-mollie-signature": ""}),
        await shop.client.get("/webhooks/mollie?id=tr_1"),
    ]

    assert [reply.status_code for reply in replies] == [401] * 5 + [405]
    assert await shop.entries() == []


async def test_authentic_nonsense_is_taken_set_aside_and_never_an_entry(shop: Shop) -> None:
    good = refund("re_1", "tr_1", "1.00")
    wrong: list[dict[str, Any]] = [
        {"amount": {"currency": "GBP", "value": "9" * 5000}}, {"amount": {"currency": "GBP", "value": 1.005}},
        {"amount": None}, {"id": ["x"]}, {"paymentId": None}, {"createdAt": 10**99}, {"status": {}},
    ]  # fmt: skip
    told = [event(str(n), "refund.refunded", good | changes) for n, changes in enumerate(wrong)]
    told += [b"", b"\xff\xfe", b"[" * 50_000, b'{"id":' * 20_000, b"null", b"[" + told[0] + b"]"]

    assert set(await send(shop, *told)) == {"accepted"}
    assert await shop.entries() == []
