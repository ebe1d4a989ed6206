"""What Adyen, Checkout.com and Worldpay send, over HTTP through the real listener to the ledger's entries."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from ledger.entries import Entry
from ledger.money import to_decimal
from sources.registry import Configuration, policy
from storage.database import Database, open_database
from storage.dead_letters import count_backlog
from storage.entries import entries_after
from sync.work import settle
from tests.fakes import adyen, checkout, worldpay
from tests.listener.harness import TOKEN, Front, configured, running

# Long after everything: every grace period and pending limit has run out.
LATER = 4_000_000_000_000_000
SETTINGS = {
    "ledger_start": "2025-01-01T00:00:00Z",
    "sources__adyen__kind": "adyen",
    "sources__adyen__webhook_secrets": json.dumps([adyen.KEY]),
    "sources__checkout__kind": "checkout",
    "sources__checkout__webhook_secrets": json.dumps([checkout.SECRET]),
    "sources__worldpay__kind": "worldpay",
    "sources__worldpay__webhook_secrets": json.dumps([worldpay.SECRET]),
}


@dataclass
class Wire:
    """A listener that runs, and the database that it fills."""

    configuration: Configuration
    front: Front
    database: Database

    async def post(self, name: str, body: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
        """Deliver a webhook, signed as its sender does unless `headers` say otherwise."""
        given = proof(name, body) if headers is None else headers
        return await self.front.client.post(f"/webhooks/{name}", content=body, headers=given)

    async def tell(self, name: str, *bodies: bytes) -> None:
        """Deliver these one after the other, each accepted."""
        for body in bodies:
            reply = await self.post(name, body)
            wanted = "[accepted]" if name == "adyen" else '{"status":"accepted"}'
            assert (reply.status_code, reply.text) == (200, wanted)

    async def lines(self) -> list[str]:
        """Every entry in a line, once everything that arrived is worked off."""
        await settle(self.database, self.configuration.sources, policy(self.configuration, 0), lambda: LATER)
        async with self.database.read() as conn:
            assert not await count_backlog(conn)
            return sorted(map(line, await entries_after(conn, "", 1000)))


@pytest.fixture
async def wire(sqlite_url: str) -> AsyncIterator[Wire]:
    configuration = configured(sqlite_url, **SETTINGS)
    async with AsyncExitStack() as stack:
        front = await stack.enter_async_context(running(configuration))
        yield Wire(configuration, front, await stack.enter_async_context(open_database(sqlite_url, "cli")))


def proof(name: str, body: bytes) -> dict[str, str]:
    """The headers by which a sender proves itself. Adyen's proof is in the body."""
    if name == "shop":
        return {"x-webhook-token": TOKEN}
    return {} if name == "adyen" else checkout.signed(body) if name == "checkout" else worldpay.signed(body)


def order(payment: str, refunded: str | None, status: str = "PartiallyRefunded", hour: int = 17) -> bytes:
    """The shop tells of order 1001 over 100.00 GBP."""
    fields = {
        "Id": 1001,
        "OrderStatus": "Complete",
        "PaymentStatus": status,
        "OrderTotal": "100.00",
        "RefundedAmount": refunded,
        "CustomerCurrencyCode": "GBP",
        "CaptureTransactionId": payment,
    }
    told = {"event": "order.changed", "occurred_at": f"2025-11-02T{hour}:00:00Z", "order": fields}
    return json.dumps(told).encode()


def line(entry: Entry) -> str:
    """An entry in a line: status, reason, order, and both sides."""
    made = (f"{r.kind} {r.status} {to_decimal(r.amount, r.currency)}" for r in entry.gateway_refunds)
    recorded = (to_decimal(r.amount or 0, r.currency or "GBP") for r in entry.storefront_refunds)
    parts: Iterable[Any] = (entry.status, entry.reason, entry.order_id, " + ".join(made), "|", " + ".join(recorded))
    return " ".join(str(part) for part in parts if part).strip(" |")


PAID = {"amount": {"currency": "GBP", "value": 10000}}
AUTHORISED = adyen.item("AUTHORISATION", pspReference="PAYMENT000000001", originalReference=None, **PAID)
WHOLE_DISPUTE = {"pspReference": "DISPUTE000000001", "eventDate": "2025-11-09T10:00:00Z", **PAID}

# Each gateway's payment as the order names it, and what it tells: a refund of 25.00 that is made, that fails later.
GATEWAYS: dict[str, tuple[str, bytes, bytes]] = {
    "adyen": (
        "PAYMENT000000001",
        adyen.notification(AUTHORISED, adyen.item("REFUND")),
        adyen.notification(adyen.item("REFUNDED_REVERSED", eventDate="2025-11-05T10:00:00Z")),
    ),
    "checkout": (
        checkout.PAYMENT,
        checkout.event("payment_refunded", "evt_1"),
        checkout.event("payment_refund_declined", "evt_2").replace(b"2025-11-02T15:04:06", b"2025-11-05T10:00:00"),
    ),
    "worldpay": (
        "1001",
        worldpay.event("sentForRefund", "1"),
        worldpay.event("refundFailed", "2").replace(b"2025-11-02T15:04:05", b"2025-11-05T10:00:00"),
    ),
}
NAMES = sorted(GATEWAYS)


@pytest.mark.parametrize("name", NAMES)
async def test_a_refund_is_matched_once_however_often_it_is_told_and_fails_when_it_is_reversed(
    wire: Wire, name: str
) -> None:
    payment, made, reversed_later = GATEWAYS[name]
    await wire.tell("shop", order(payment, "25.00"))
    await wire.tell(name, made)
    assert await wire.lines() == ["matched 1001 refund succeeded 25.00 | 25.00"]

    again = await wire.post(name, made)
    assert (again.status_code, again.text) == (200, "[accepted]" if name == "adyen" else '{"status":"duplicate"}')
    assert await wire.front.count(name, "duplicate") == 1
    assert await wire.lines() == ["matched 1001 refund succeeded 25.00 | 25.00"]

    await wire.tell(name, reversed_later)
    assert await wire.lines() == ["unmatched refund_failed 1001 refund failed 25.00 | 25.00"]


@pytest.mark.parametrize("name", NAMES)
async def test_a_refund_that_failed_before_it_is_told_as_made_has_failed(wire: Wire, name: str) -> None:
    payment, made, reversed_later = GATEWAYS[name]
    await wire.tell(name, reversed_later, made)
    await wire.tell("shop", order(payment, "25.00"))

    assert await wire.lines() == ["unmatched refund_failed 1001 refund failed 25.00 | 25.00"]


@pytest.mark.parametrize("name", NAMES)
async def test_a_wrong_signature_is_refused_and_leaves_nothing(wire: Wire, name: str) -> None:
    body = GATEWAYS[name][1]
    spoilt = body.replace(b"2500", b"9900")
    replies = [await wire.post(name, spoilt, proof(name, body))]
    replies += [await wire.post(name, body.replace(b"hmacSignature", b"signature"), {})]

    assert [reply.status_code for reply in replies] == [401, 401]
    assert await wire.front.count(name, "unauthenticated") == 2
    assert await wire.lines() == []


@pytest.mark.parametrize("name", NAMES)
async def test_hostile_variants_are_answered_without_an_error_of_ours_and_make_no_entry(wire: Wire, name: str) -> None:
    told = json.loads(GATEWAYS[name][1])
    fields = told["notificationItems"][1]["NotificationRequestItem"] if name == "adyen" else told
    inner = fields if name == "adyen" else fields["data" if name == "checkout" else "eventDetails"]
    values: list[Any] = [None, True, 1.5, "", "\ud800", "a\0b", [], {}, "x" * 10_000, [[[[]]]], 10**60]
    bodies = [b"", b"\xff\xfe", b"[" * 100_000, b'{"data":' * 50_000, b"1" * 5000, json.dumps(told).encode("utf-16")]
    for key in ("amount", "currency", "id", "type", "eventCode", "pspReference", "transactionReference", "action_id"):
        for value in values if key in inner else ():
            kept, inner[key] = inner[key], value
            if name == "adyen":
                inner["additionalData"] = {"hmacSignature": adyen.signature(inner)}
            fresh = {"id": f"evt_{len(bodies)}"} if name == "checkout" else {"eventId": f"{len(bodies)}"}
            bodies.append(json.dumps(told | fresh).encode())
            inner[key] = kept
    for body in bodies:
        assert (await wire.post(name, body)).status_code in (200, 401)

    # Adyen's first item says nothing of money that went back.
    assert await wire.lines() == []


async def test_the_second_item_of_an_adyen_batch_unverified(wire: Wire) -> None:
    """A verifier that looks at the first item alone lets a forged refund ride along."""
    batch = json.loads(adyen.notification(AUTHORISED, adyen.item("REFUND")))
    genuine = json.dumps(batch).encode()
    batch["notificationItems"][1]["NotificationRequestItem"]["amount"]["value"] = 10000
    await wire.tell("shop", order("PAYMENT000000001", "25.00"))

    refused = await wire.post("adyen", json.dumps(batch).encode())
    assert refused.status_code == 401
    assert await wire.lines() == ["unmatched missing_in_gateway 1001 | 25.00"]

    await wire.tell("adyen", genuine)
    assert await wire.lines() == ["matched 1001 refund succeeded 25.00 | 25.00"]


async def test_every_item_of_an_adyen_batch_is_an_event_and_one_that_cannot_be_read_is_set_aside_alone(
    wire: Wire,
) -> None:
    second = adyen.item("REFUND", pspReference="REFUND0000000002", amount={"currency": "GBP", "value": 1500})
    unreadable = adyen.item("REFUND", pspReference="REFUND0000000003", amount={"currency": "GBP", "value": -5})
    await wire.tell("adyen", adyen.notification(AUTHORISED, adyen.item("REFUND")))
    # The first item is known, the others are not.
    await wire.tell("adyen", adyen.notification(adyen.item("REFUND"), second, unreadable))
    await wire.tell("shop", order("PAYMENT000000001", "40.00"))

    assert await wire.lines() == ["matched 1001 refund succeeded 25.00 + refund succeeded 15.00 | 40.00"]


async def test_a_cancellation_at_adyen_pairs_with_what_the_shop_voided(wire: Wire) -> None:
    cancelled = adyen.item("CANCELLATION", pspReference="CANCEL0000000001", **PAID)
    await wire.tell("adyen", adyen.notification(AUTHORISED, cancelled))
    assert await wire.lines() == ["unmatched order_unknown void succeeded 100.00"]

    await wire.tell("shop", order("PAYMENT000000001", None, "Paid", 14), order("PAYMENT000000001", None, "Voided"))
    assert await wire.lines() == ["matched 1001 void succeeded 100.00 | 100.00"]


async def test_a_chargeback_at_adyen_that_is_reversed_comes_to_nothing(wire: Wire) -> None:
    await wire.tell("shop", order("PAYMENT000000001", None, "Paid"))
    await wire.tell("adyen", adyen.notification(AUTHORISED, adyen.item("CHARGEBACK", **WHOLE_DISPUTE)))
    assert await wire.lines() == ["unmatched missing_in_storefront 1001 chargeback succeeded 100.00"]

    await wire.tell("adyen", adyen.notification(adyen.item("CHARGEBACK_REVERSED", **WHOLE_DISPUTE)))
    assert await wire.lines() == ["closed 1001 chargeback reversed 100.00"]


async def test_a_chargeback_of_a_payment_that_was_refunded_returns_the_money_twice(wire: Wire) -> None:
    """hyperswitch #10533: a chargeback beside a refund of the same payment."""
    whole = adyen.item("REFUND", **PAID)
    await wire.tell("shop", order("PAYMENT000000001", "100.00", "Refunded"))
    await wire.tell("adyen", adyen.notification(AUTHORISED, whole, adyen.item("CHARGEBACK", **WHOLE_DISPUTE)))

    assert await wire.lines() == [
        "matched 1001 refund succeeded 100.00 | 100.00",
        "unmatched over_refunded 1001 chargeback succeeded 100.00",
    ]


async def test_a_dispute_at_checkout_takes_its_money_and_gives_it_back(wire: Wire) -> None:
    await wire.tell("shop", order(checkout.PAYMENT, None, "Paid"))
    await wire.tell("checkout", checkout.dispute("dispute_evidence_required", "evt_1"))
    assert await wire.lines() == ["unmatched missing_in_storefront 1001 chargeback succeeded 100.00"]

    await wire.tell("checkout", checkout.dispute("dispute_lost", "evt_2"), checkout.dispute("dispute_won", "evt_3"))
    assert await wire.lines() == ["closed 1001 chargeback reversed 100.00"]


async def test_the_header_of_a_rotation_at_worldpay_is_accepted(wire: Wire) -> None:
    body = GATEWAYS["worldpay"][1]
    headers = {"event-signature": f"2/SHA256/{'0' * 64},{worldpay.signed(body)['event-signature']}"}

    assert (await wire.post("worldpay", body, headers)).json() == {"status": "accepted"}
    assert await wire.lines() == ["unmatched order_unknown refund succeeded 25.00"]
