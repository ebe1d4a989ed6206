"""Facts in one short line each, and the ledger in one short line per entry. Times are hours after T0."""
# ruff: noqa: ANN401 - the fields that a test leaves out have many types

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from ledger.derive import derive
from ledger.entries import Entry
from ledger.facts import Decision, DisputeFact, Fact, OrderFact, PaymentFact, RefundFact, encode
from ledger.instants import SECOND, Instant, from_rfc3339
from ledger.policy import Gateway, Policy, Store

T0 = from_rfc3339("2026-11-01T00:00:00Z")
HOUR = 3600 * SECOND
POLICY = Policy(
    gateways={
        "stripe": Gateway(payment_id_form=r"(pi|ch)_\w+"),
        "anet": Gateway(stores=frozenset({"shop", "second"})),
    },
    stores={
        "shop": Store(
            payment_methods={"Payments.Stripe": "stripe", "Payments.Anet": "anet"},
            offline_methods=frozenset({"Payments.PurchaseOrder"}),
        ),
        "asked": Store(has_api=True),
    },
)


def at(hours: int) -> Instant:
    return T0 + hours * HOUR


LATER = at(24 * 60)
"""When every grace period and pending limit has run out."""


def paid(captured: int | None = 10000, *ids: str, hours: int = 0, **more: Any) -> PaymentFact:
    told: dict[str, Any] = {"source": "stripe", "currency": "GBP"} | more
    return PaymentFact(ids=ids or ("pi_1",), as_of=at(hours), captured=captured, **told)


def refund(id: str, amount: int = 1500, hours: int = 2, **more: Any) -> RefundFact:  # noqa: A002 - the field's name
    told: dict[str, Any] = {
        "source": "stripe", "kind": "refund", "status": "succeeded", "currency": "GBP",
        "at": at(hours), "as_of": at(hours), "payment_ids": ("pi_1",)} | more  # fmt: skip
    return RefundFact(id=id, amount=amount, **told)


def moved(movement: str, amount: int, hours: int = 2, direction: Any = "withdrawn", **more: Any) -> DisputeFact:
    told: dict[str, Any] = {
        "source": "stripe",
        "dispute_id": "dp_1",
        "currency": "GBP",
        "payment_ids": ("pi_1",),
    } | more
    return DisputeFact(movement_id=movement, amount=amount, direction=direction, at=at(hours), **told)


def order(status: Any = "paid", refunded: int | None = None, hours: int = 1, **more: Any) -> OrderFact:
    """A snapshot of order 1001 of the shop over 100.00 GBP, paid by pi_1; its digest is that of its content."""
    told: dict[str, Any] = {
        "store": "shop", "order_id": "1001", "origin": "event", "arrived_at": at(hours), "currency": "GBP",
        "total": 10000, "cancelled": False, "transactions": ("pi_1",), "order_refs": ("1001",)} | more  # fmt: skip
    content = sorted((name, value) for name, value in told.items() if name not in ("origin", "arrived_at"))
    told.setdefault("digest", sha256(repr((status, refunded, content)).encode()).hexdigest())
    return OrderFact(as_of=at(hours), payment_status=status, refunded=refunded, **told)


def rises(*totals: int, hours: int = 3) -> list[Fact]:
    """An order that is Paid and then says each of these refunded totals, an hour apart."""
    return [order(), *(order("partially_refunded", total, hours=hours + i) for i, total in enumerate(totals))]


def decided(action: Any, entry: Entry, hours: int = 100, **more: Any) -> Decision:
    """What somebody decides on seeing the entry."""
    told: dict[str, Any] = {"id": f"{action}-{hours}", "actor": "ann", "text": "because"} | more
    if action in ("link", "unlink"):
        told["refunds"] = tuple(f"{r.source}/{r.id}" for r in entry.gateway_refunds)
    return Decision(
        action=action, at=at(hours), entry_id=entry.id, anchor=entry.anchor, fingerprint=entry.fingerprint, **told
    )


def entries(*facts: Fact, now: Instant = LATER, policy: Policy = POLICY) -> list[Entry]:
    return derive(facts, policy, now).entries


def entry(*facts: Fact, now: Instant = LATER, policy: Policy = POLICY) -> Entry:
    """The only entry."""
    [one] = entries(*facts, now=now, policy=policy)
    return one


Line = tuple[str, str, str]


def ledger(*facts: Fact, now: Instant = LATER, policy: Policy = POLICY) -> list[Line]:
    """Each entry as its reason (or status), its gateway refunds and its recorded amounts; in alphabetical order."""
    return lines(entries(*facts, now=now, policy=policy))


def lines(found: Iterable[Entry]) -> list[Line]:
    return sorted(
        (
            e.reason or e.status,
            " ".join(r.id for r in e.gateway_refunds),
            " ".join("?" if r.amount is None else str(r.amount) for r in e.storefront_refunds)
            or (f"expects {e.expected_amount}" if e.expected_amount is not None else ""),
        )
        for e in found
    )


def copies(facts: Iterable[Fact]) -> list[Fact]:
    """One of each, in an order that says nothing of how they came."""
    return [fact for _, fact in sorted({encode(f): f for f in facts}.items())]
