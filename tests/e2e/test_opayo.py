"""Opayo: what it is asked, to the entries of the ledger; and that the listener believes nothing."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger.instants import DAY
from tests.e2e.shop import NOW, Shop, opened
from tests.fakes.opayo import PASSWORD, USER, VENDOR, FakeOpayo, guid, transaction


@pytest.fixture
def fake() -> FakeOpayo:
    return FakeOpayo()


@pytest.fixture
async def shop(tmp_path: Path, fake: FakeOpayo, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    monkeypatch.setattr("sources.opayo_api.PAGE", 2)
    with fake.serving() as base:
        own = {"kind": "opayo", "vendor": VENDOR, "user": USER, "password": PASSWORD, "order_pattern": "^([0-9]+)-",
               "api_base": base, "requests_per_second": "100"}  # fmt: skip
        async with opened(tmp_path, monkeypatch, {f"SOURCES__OPAYO__{n}": value for n, value in own.items()}) as made:
            yield made


async def test_refunds_voids_and_failures_are_found(shop: Shop, fake: FakeOpayo) -> None:
    fake.has(
        transaction(1, "Payment", "100.00", vendortxcode="1-2026"),
        transaction(2, "Payment", "100.00"),
        transaction(3, "Payment", "100.00", 18),
        transaction(4, "Deferred", "100.00", 19),
        transaction(11, "Refund", "15.00", 16, 1),
        transaction(12, "Refund", "7.00", 16, 2),
    )
    await shop.ordered(1, "", 15_00)  # found by its number
    await shop.ordered(2, guid(2), 7_00)
    await shop.ordered(3, "{" + guid(3) + "}", 100_00)

    assert await shop.poll("opayo") == 3
    assert await shop.poll("opayo") == 0
    assert await shop.entries() == [
        "matched |  | 1 | refund succeeded 1500 | 1500",
        "matched |  | 2 | refund succeeded 700 | 700",
        "matched |  | 3 | void succeeded 10000 | 10000",
    ]

    fake.has(transaction(12, "Refund", "7.00", 23, 2))  # the bank did not take it
    assert await shop.poll("opayo", NOW + DAY) == 1
    assert (await shop.entries())[2] == "unmatched | refund_failed | 2 | refund failed 700 | 700"


async def test_the_listener_believes_nothing(shop: Shop) -> None:
    replies = [await shop.send("opayo", body) for body in (b"VPSTxId=1&Status=OK&VPSSignature=2", b"")]

    assert [reply.status_code for reply in replies] == [401, 401]
    assert await shop.entries() == []
