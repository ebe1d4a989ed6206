"""What several tests here are made of."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from ledger.entries import Entry, GatewayRefund, StorefrontRefund
from ledger.facts import Fact, OrderFact, RefundFact
from storage.database import Database, NewEvent
from storage.facts import Received, claim_inbox, store_facts

NOW = 1_790_000_000_000_000


def event(key: str | None, source: str = "stripe", **changes: Any) -> NewEvent:  # noqa: ANN401
    return NewEvent(source, key, "refund.created", "webhook", NOW, {"stripe-version": "x"}, b"{}")._replace(**changes)


def refund(id_: str, payment: str = "pi_1", texts: Sequence[str] = ()) -> RefundFact:
    return RefundFact("stripe", id_, "refund", "succeeded", 1500, "GBP", NOW, NOW, (payment,), tuple(texts))


def order(id_: str, payment: str = "pi_1", texts: Sequence[str] = ()) -> OrderFact:
    return OrderFact(
        "shop", id_, "event", NOW, NOW, "digest", "GBP", 12000, 1500, "refunded", False, (payment,), None, tuple(texts)
    )


async def told(database: Database, *facts_of_events: Sequence[Fact]) -> list[Received]:
    """Journal one event for each, and store the facts that it is to say."""
    await database.append([event(None) for _ in facts_of_events])
    async with database.write() as conn:
        received = await claim_inbox(conn, 1000)
        await store_facts(conn, list(zip(received, facts_of_events, strict=True)), [], NOW)
    return received


ENTRY = Entry(
    id="0" * 32,
    store="shop",
    order_id="1001",
    status="unmatched",
    reason="amount_mismatch",
    verified=True,
    currency="GBP",
    gateway_amount=1250,
    storefront_amount=1500,
    expected_amount=None,
    gateway_refunds=(GatewayRefund("stripe", "re_1", "refund", "succeeded", 1250, "GBP", NOW),),
    storefront_refunds=(StorefrontRefund("r1", 1500, "GBP", NOW, verified=True),),
    opened_at=NOW,
    matched_at=None,
    explanation="The amounts differ.",
    suggestions=(),
    due_at=None,
    home=7,
    anchor=("refund", "stripe", "re_1"),
    fingerprint="f",
)


def entry(number: int, **changes: Any) -> Entry:  # noqa: ANN401
    """The entry with this number as its id, opened so many microseconds after NOW."""
    return replace(ENTRY, **{"id": f"{number:032x}", "opened_at": NOW + number, **changes})
