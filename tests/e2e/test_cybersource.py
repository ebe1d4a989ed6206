"""CyberSource: what it is asked, to the entries of the ledger; and that the listener believes nothing."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sources.polling import HOUR
from tests.e2e.shop import NOW, Shop, opened
from tests.fakes.cybersource import KEY_ID, MERCHANT, SECRET, FakeCyberSource, declined, ordered, transaction


@pytest.fixture
def fake() -> FakeCyberSource:
    return FakeCyberSource()


@pytest.fixture
async def shop(tmp_path: Path, fake: FakeCyberSource, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    monkeypatch.setattr("sources.cybersource_api.PAGE", fake.page)
    with fake.serving() as base:
        own = {"kind": "cybersource", "merchant_id": MERCHANT, "key_id": KEY_ID, "shared_secret": SECRET,
               "api_base": base, "requests_per_second": "100", "poll_since": "10d"}  # fmt: skip
        async with opened(tmp_path, monkeypatch, {f"SOURCES__CS__{n}": value for n, value in own.items()}) as made:
            yield made


async def test_refunds_voids_and_failures_are_found(shop: Shop, fake: FakeCyberSource) -> None:
    fake.has(
        *(transaction(f"100{n}", "ics_auth,ics_bill", "100.00", "TRANSMITTED") for n in range(1, 5)),
        ordered(transaction("2001", "ics_credit", "15.00", "TRANSMITTED", "1001"), "1"),
        transaction("2002", "ics_credit", "7.00", "PENDING", "1002"),
        transaction("3003", "ics_void", "100.00", "", "1003"),
        declined(transaction("2004", "ics_credit", "4.00", "", "1004")),
        transaction("5005", "ics_auth", "50.00"),
        transaction("5006", "ics_auth_reversal", "50.00", "", "5005"),
    )
    await shop.ordered(1, "", 15_00)  # found by its number
    await shop.ordered(2, "1002", 7_00)
    await shop.ordered(3, "1003", 100_00)
    await shop.ordered(4, "1004", 4_00)

    assert await shop.poll("cs") == 4
    assert await shop.poll("cs") == 0
    assert await shop.entries() == [
        "matched |  | 1 | refund succeeded 1500 | 1500",
        "matched |  | 3 | void succeeded 10000 | 10000",
        "unmatched | missing_in_gateway | 2 | refund pending 700 | 700",
        "unmatched | refund_failed | 4 | refund failed 400 | 400",
    ]

    fake.has(transaction("2002", "ics_credit", "7.00", "TRANSMITTED", "1002"))
    assert await shop.poll("cs", NOW + 2 * HOUR) == 1
    assert (await shop.entries())[1] == "matched |  | 2 | refund succeeded 700 | 700"


async def test_the_listener_believes_nothing(shop: Shop) -> None:
    replies = [
        await shop.send("cs", b'{"eventType":"payments.credits.accepted"}', {"v-c-signature": "t=1;keyId=2;sig=3"})
    ]
    replies.append(await shop.send("cs", b""))

    assert [reply.status_code for reply in replies] == [401, 401]
    assert await shop.entries() == []
