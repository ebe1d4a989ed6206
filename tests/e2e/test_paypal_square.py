"""PayPal and Square over HTTP: signed deliveries through the real listener to the entries of the ledger."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from ledger.entries import Entry
from ledger.instants import DAY, from_rfc3339
from sources.registry import policy
from storage.database import open_database
from storage.entries import entries_after
from sync.work import settle
from tests.e2e.messages import order
from tests.fakes import paypal, square
from tests.fakes.faults import answer
from tests.fakes.paypal import FakePayPal
from tests.listener.harness import configured, running

NOW = from_rfc3339("2026-11-20T12:00:00Z")
LATER = NOW + 60 * DAY
"""When every grace period has run out."""


class Shop:
    """A running listener with PayPal, Square and a storefront, and the ledger behind it."""

    def __init__(self, client: httpx.AsyncClient, fake: FakePayPal, database_url: str) -> None:
        self.client, self.fake = client, fake
        self._url = database_url
        self._configuration = configured(database_url, **_settings(fake.base))

    async def paypal(self, body: bytes, **headers: str | bytes) -> httpx.Response:
        signed: Any = {**paypal.signed(body, self.fake.base), **headers}
        return await self.client.post("/webhooks/paypal", content=body, headers=signed)

    async def square(self, body: bytes, **headers: str) -> httpx.Response:
        return await self.client.post("/webhooks/square", content=body, headers=square.signed(body) | headers)

    async def ordered(self, number: int, transaction: str, refunded: int) -> None:
        """The shop tells of an order over 100.00 GBP of which so much is recorded as refunded."""
        told = order(number, 5, "PartiallyRefunded", refunded=refunded, CaptureTransactionId=transaction,
                     PaymentMethodSystemName="Payments.Other")  # fmt: skip
        reply = await self.client.post("/webhooks/shop", content=told, headers={"x-webhook-token": TOKEN})
        assert reply.json() == {"status": "accepted"}

    async def entries(self) -> list[str]:
        """Every entry, after all that arrived was worked off: status, reason, order, and what is in it."""
        async with open_database(self._url, "sync") as database:
            await settle(database, self._configuration.sources, policy(self._configuration, 0), lambda: LATER)
            async with database.read() as conn:
                found = await entries_after(conn, "", 1000)
        return sorted(map(_line, found))


TOKEN = "token-of-the-tests"


def _settings(base: str) -> dict[str, str]:
    return {
        "LEDGER_START": "2026-01-01T00:00:00Z",
        "SOURCES__PAYPAL__KIND": "paypal",
        "SOURCES__PAYPAL__WEBHOOK_IDS": json.dumps([paypal.WEBHOOK_ID]),
        "SOURCES__PAYPAL__API_BASE": base,
        "SOURCES__SQUARE__KIND": "square",
        "SOURCES__SQUARE__WEBHOOK_SECRETS": json.dumps([square.SIGNATURE_KEY]),
        "SOURCES__SQUARE__NOTIFICATION_URL": square.ADDRESS,
    }


def _line(entry: Entry) -> str:
    made = [f"{r.kind} {r.status} {r.amount}" for r in entry.gateway_refunds]
    recorded = [str(r.amount) for r in entry.storefront_refunds]
    parts: Sequence[Any] = (entry.status, entry.reason or "", entry.order_id or "", "+".join(made), "+".join(recorded))
    return " | ".join(parts)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    url = f"sqlite:///{tmp_path}/ledger.db"
    fake = FakePayPal(NOW)
    with fake.serving() as base:
        async with running(configured(url, **_settings(base))) as front:
            yield Shop(front.client, fake, url)


def _statuses(replies: Sequence[httpx.Response]) -> list[str]:
    assert {reply.status_code for reply in replies} == {200}
    return sorted(reply.json()["status"] for reply in replies)


CAPTURE = "0JF852973C016714D"


async def test_the_running_total_of_a_capture_is_taken_for_the_amount_of_a_refund(shop: Shop) -> None:
    """gumroad #6684: refunds of 2 and 3 arrived with totals of 2 and 5, and were booked as 7."""
    first = paypal.refund("R1", CAPTURE, "2.00", "2.00")
    second = paypal.refund("R2", CAPTURE, "3.00", "5.00", at="2026-11-20T05:00:00-08:00")
    told = [
        paypal.event("c", "PAYMENT.CAPTURE.COMPLETED", paypal.capture(CAPTURE, "100.00")),
        paypal.event("1", "PAYMENT.CAPTURE.REFUNDED", first),
        paypal.event("2", "PAYMENT.CAPTURE.REFUNDED", second),
    ]
    assert _statuses([await shop.paypal(body) for body in told]) == ["accepted"] * 3
    await shop.ordered(6684, CAPTURE, 5_00)

    assert await shop.entries() == ["matched |  | 6684 | refund succeeded 200+refund succeeded 300 | 500"]


async def test_a_refund_of_paypal_fails_and_a_chargeback_is_given_back(shop: Shop) -> None:
    made = paypal.refund("R1", "CAP1", "15.00", status="PENDING")
    failed = made | {"status": "FAILED", "update_time": "2026-11-23T12:00:00Z"}
    resolved = {
        "dispute_id": "PP-D-1",
        "disputed_transactions": [{"seller_transaction_id": "CAP2"}],
        "dispute_amount": {"currency_code": "GBP", "value": "20.00"},
        "dispute_outcome": {"outcome_code": "RESOLVED_SELLER_FAVOUR"},
        "update_time": "2026-11-25T12:00:00Z",
    }
    told = [
        paypal.event("2", "PAYMENT.REFUND.FAILED", failed),  # out of order
        paypal.event("1", "PAYMENT.CAPTURE.REFUNDED", made),
        paypal.event("3", "PAYMENT.CAPTURE.REVERSED", paypal.refund("V1", "CAP2", "20.00")),
        paypal.event("4", "CUSTOMER.DISPUTE.RESOLVED", resolved),
        paypal.event("5", "PAYMENT.CAPTURE.REVERSED", paypal.refund("V2", "CAP3", "30.00")),
    ]
    assert _statuses([await shop.paypal(body) for body in told]) == ["accepted"] * 5
    await shop.ordered(1, "CAP1", 15_00)
    await shop.ordered(2, "CAP2", 0)
    await shop.ordered(3, "CAP3", 0)

    assert await shop.entries() == [
        "closed |  | 2 | chargeback reversed 2000 | ",
        "unmatched | missing_in_storefront | 3 | chargeback succeeded 3000 | ",
        "unmatched | refund_failed | 1 | refund failed 1500 | 1500",
    ]


async def test_a_refund_of_square_succeeds_fails_and_a_dispute_is_won(shop: Shop) -> None:
    failed = square.refund("r2", "p2", 700, "FAILED", updated_at="2026-11-23T12:00:00Z")
    told = [
        square.event("1", "payment.updated", square.payment("p1", 100_00, reference_id="1")),
        square.event("2", "refund.created", square.refund("r1", "p1", 1500, "PENDING")),
        square.event("3", "refund.updated", square.refund("r1", "p1", 1500, updated_at="2026-11-20T12:01:00Z")),
        square.event("4", "refund.updated", failed),
        square.event("5", "refund.updated", square.refund("r2", "p2", 700)),
        square.event("6", "dispute.created", square.dispute("d3", "p3", 900, "EVIDENCE_REQUIRED")),
        square.event("7", "dispute.state.updated", square.dispute("d3", "p3", 900, "WON")),
        square.event("8", "dispute.created", square.dispute("d4", "p4", 900, "PROCESSING")),
    ]
    assert _statuses([await shop.square(body) for body in told]) == ["accepted"] * 8
    await shop.ordered(1, "", 15_00)  # found by its number
    await shop.ordered(2, "p2", 7_00)
    await shop.ordered(3, "p3", 0)
    await shop.ordered(4, "p4", 0)

    assert await shop.entries() == [
        "closed |  | 3 | chargeback reversed 900 | ",
        "matched |  | 1 | refund succeeded 1500 | 1500",
        "unmatched | missing_in_storefront | 4 | chargeback succeeded 900 | ",
        "unmatched | refund_failed | 2 | refund failed 700 | 700",
    ]


async def test_duplicates_and_many_at_once_count_once(shop: Shop) -> None:
    of_paypal = [
        paypal.event(str(n), "PAYMENT.CAPTURE.REFUNDED", paypal.refund(f"R{n}", f"C{n}", "1.00")) for n in range(5)
    ]
    of_square = [square.event(str(n), "refund.updated", square.refund(f"r{n}", f"p{n}", 100)) for n in range(5)]
    replies = await asyncio.gather(
        *(shop.paypal(body) for body in of_paypal * 3), *(shop.square(body) for body in of_square * 3)
    )

    assert _statuses(replies) == ["accepted"] * 10 + ["duplicate"] * 20
    assert shop.fake.faults.requests == [f"GET /v1/notifications/certs/{paypal.CERTIFICATE}"]
    assert await shop.entries() == ["unmatched | order_unknown |  | refund succeeded 100 | "] * 10


async def test_a_wrong_signature_is_401_and_leaves_nothing(shop: Shop) -> None:
    of_paypal = paypal.event("1", "PAYMENT.CAPTURE.REFUNDED", paypal.refund("R1", CAPTURE, "1.00"))
    of_square = square.event("1", "refund.updated", square.refund("r1", "p1", 100))
    forged = paypal.signed(of_paypal, shop.fake.base, "ANOTHERWEBHOOK")
    replies = [
        await shop.paypal(of_paypal, **forged),
        await shop.paypal(of_paypal, **{"paypal-cert-url": "https://evil.example/v1/notifications/certs/CERT-1"}),
        await shop.paypal(of_paypal, **{"paypal-transmission-sig": b"\xff"}),
        await shop.client.post("/webhooks/paypal", content=of_paypal),
        await shop.square(of_square, **square.signed(of_square, address="https://evil.example/webhooks/square")),
        await shop.client.post("/webhooks/square", content=of_square),
    ]

    assert [reply.status_code for reply in replies] == [401] * 6
    assert await shop.entries() == []


async def test_while_paypal_does_not_hand_out_its_certificate_the_sender_comes_again(shop: Shop) -> None:
    body = paypal.event("1", "PAYMENT.CAPTURE.REFUNDED", paypal.refund("R1", CAPTURE, "1.00"))
    shop.fake.faults.then(answer(503))

    refused = await shop.paypal(body)

    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    assert await shop.entries() == []


async def test_authentic_nonsense_is_taken_set_aside_and_never_an_entry(shop: Shop) -> None:
    good_paypal, good_square = paypal.refund("R1", CAPTURE, "1.00"), square.refund("r1", "p1", 100)
    huge: dict[str, Any] = {"currency_code": "GBP", "value": "9" * 5000}
    nonsense = [b"", b"\xff\xfe", b"[" * 50_000, b'{"id":' * 20_000, b"null"]
    wrong: list[dict[str, Any]] = [
        {"amount": huge, "amount_money": {"amount": 10**400, "currency": "GBP"}},
        {"amount": None, "amount_money": []},
        {"id": ["x"]},
        {"status": {}},
        {"create_time": 10**99, "created_at": 10**99},
    ]
    of_paypal = [
        paypal.event(f"{n}", "PAYMENT.CAPTURE.REFUNDED", good_paypal | changes) for n, changes in enumerate(wrong)
    ]
    of_square = [square.event(f"{n}", "refund.updated", good_square | changes) for n, changes in enumerate(wrong)]
    batches = [b"[" + of_paypal[0] + b"]", b"[" + of_square[0] + b"]"]

    replies = [await shop.paypal(body) for body in (*nonsense, *of_paypal, batches[0])]
    replies += [await shop.square(body) for body in (*nonsense, *of_square, batches[1])]

    assert _statuses(replies) == ["accepted"] * len(replies)
    assert await shop.entries() == []
