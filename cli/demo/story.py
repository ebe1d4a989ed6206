"""A day and a half of refunds at an invented print shop, as its gateway and its storefront would tell them.

Always the same story, moved so that it ends now. It is told the way the world tells it: in disorder, some of it
twice, some of it never.
"""

import json
import re
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from ledger.instants import SECOND, Instant, to_rfc3339
from ledger.money import to_decimal

GATEWAY = "stripe"
STORE = "shop"
ON_ACCOUNT = "Payments.PurchaseOrder"

HOURS = 60  # times are minutes before the end of the story

_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
_DECIMAL = re.compile(r'"=([0-9.]+)"')


@dataclass(frozen=True)
class Delivery:
    """A webhook: what one of the two systems sends."""

    source: Literal["stripe", "shop"]
    body: bytes
    forged: bool = False
    """Signed by somebody who does not know the secret."""


@dataclass(frozen=True)
class Told:
    """The whole story in the order in which it arrives."""

    deliveries: list[Delivery]
    repeated: int
    """How many of the deliveries arrive a second time."""
    lost: int
    """How many more were sent and never arrived."""


@dataclass
class Order:
    """An order of the shop, and the payment for it. Amounts are ISO minor units."""

    number: int
    currency: str
    total: int
    placed: int
    intent: str
    charge: str
    method: str = "Payments.Stripe"
    status: str = "Processing"
    returned: int = 0


@dataclass
class Refund:
    """A refund as the gateway knows it."""

    id: str
    order: Order
    amount: int
    currency: str
    made: int


@dataclass
class Teller:
    """Writes down what the gateway and the storefront send."""

    now: Instant
    random: Random = field(default_factory=lambda: Random(1457))  # noqa: S311 - a story, not a secret
    sent: list[Delivery] = field(default_factory=list)
    spare: list[Delivery] = field(default_factory=list)
    """What may get lost without changing the story: something else says the same."""
    orders: int = 0

    def order(self, currency: str, total: int, placed: int = 96 * HOURS) -> Order:
        """An order is placed and paid by card."""
        order = self.unpaid_order(currency, total, placed)
        self.changed(order, placed - 1, "Paid", refunded=0)
        intent = {
            "object": "payment_intent",
            "id": order.intent,
            "amount": total,
            "amount_received": total,
            "currency": currency.lower(),
            "latest_charge": order.charge,
            "metadata": {"order_id": str(order.number)},
            "status": "succeeded",
        }
        self._event("payment_intent.succeeded", intent, placed - 1)
        self._event("charge.succeeded", self._charge(order), placed - 1, spare=True)
        return order

    def unpaid_order(self, currency: str, total: int, placed: int, method: str = "Payments.Stripe") -> Order:
        """An order is placed; nothing is told yet."""
        self.orders += 1
        name = self._letters(9)
        return Order(10_200 + self.orders, currency, total, placed, f"pi_{name}", f"ch_{name}", method)

    def changed(
        self, order: Order, ago: int, payment: str, *, refunded: int | None = None, order_status: str | None = None
    ) -> None:
        """The storefront tells how the order stands."""
        order.status = order_status or order.status
        document = {
            "Id": order.number,
            "OrderStatus": order.status,
            "PaymentStatus": payment,
            "OrderTotal": _decimal(order.total, order.currency),
            "CustomerCurrencyCode": order.currency,
            "PaymentMethodSystemName": order.method,
            "CaptureTransactionId": order.intent if order.method != ON_ACCOUNT else None,
            "AuthorizationTransactionId": None,
            "CreatedOnUtc": self._time(order.placed),
        }
        if refunded is not None:
            document["RefundedAmount"] = _decimal(refunded, order.currency)
        event = {"event": "order.changed", "occurred_at": self._time(ago), "order": document}
        body = _DECIMAL.sub(r"\1", json.dumps(event))
        self.sent.append(Delivery("shop", body.encode()))

    def recorded(self, order: Order, refunded: int, ago: int) -> None:
        """Somebody records refunds on the order; `refunded` is their total so far."""
        status = "Refunded" if refunded == order.total else "PartiallyRefunded"
        self.changed(order, ago, status, refunded=refunded)

    def refund(
        self, order: Order, amount: int, ago: int, status: str = "succeeded", currency: str | None = None
    ) -> Refund:
        """Somebody makes a refund in the gateway."""
        refund = Refund(f"re_{self._letters(8)}", order, amount, currency or order.currency, ago)
        order.returned += amount
        self.became(refund, status, ago, "refund.created")
        self._event("charge.refunded", self._charge(order), ago, spare=True)
        return refund

    def became(self, refund: Refund, status: str, ago: int, event_type: str = "refund.updated") -> None:
        """The gateway tells how a refund stands."""
        snapshot = {
            "object": "refund",
            "id": refund.id,
            "amount": refund.amount,
            "charge": refund.order.charge,
            "created": self._unix(refund.made),
            "currency": refund.currency.lower(),
            "metadata": {},
            "payment_intent": refund.order.intent,
            "reason": "requested_by_customer",
            "status": status,
        }
        if status == "failed":
            snapshot["failure_reason"] = "expired_or_canceled_card"
        self._event(event_type, snapshot, ago)

    def disputed(self, order: Order, ago: int) -> None:
        """The cardholder's bank takes the money back."""
        name = self._letters(8)
        taken = {
            "object": "balance_transaction",
            "id": f"txn_{name}",
            "amount": -order.total,
            "created": self._unix(ago),
            "currency": order.currency.lower(),
        }
        dispute = {
            "object": "dispute",
            "id": f"du_{name}",
            "amount": order.total,
            "balance_transactions": [taken],
            "charge": order.charge,
            "created": self._unix(ago),
            "currency": order.currency.lower(),
            "metadata": {},
            "payment_intent": order.intent,
            "reason": "fraudulent",
            "status": "needs_response",
        }
        self._event("charge.dispute.created", dispute, ago, spare=True)
        self._event("charge.dispute.funds_withdrawn", dispute, ago)

    def released(self, order: Order, ago: int) -> None:
        """An authorisation is given up before anything was captured."""
        intent = {
            "object": "payment_intent",
            "id": order.intent,
            "amount": order.total,
            "amount_received": 0,
            "currency": order.currency.lower(),
            "latest_charge": order.charge,
            "metadata": {},
            "status": "canceled",
        }
        self._event("payment_intent.canceled", intent, ago)

    def told(self) -> Told:
        """Everything in disorder: some twice, some never, and one that is forged."""
        lost = self.spare[::6]
        arriving = [d for d in self.sent if d not in lost]
        repeated = self.random.sample(arriving, len(arriving) // 7)
        deliveries = [*arriving, *repeated, Delivery("stripe", self.sent[-1].body, forged=True)]
        self.random.shuffle(deliveries)
        return Told(deliveries, len(repeated), len(lost))

    def _charge(self, order: Order) -> dict[str, Any]:
        return {
            "object": "charge",
            "id": order.charge,
            "amount": order.total,
            "amount_captured": order.total,
            "amount_refunded": order.returned,
            "captured": True,
            "currency": order.currency.lower(),
            "metadata": {},
            "payment_intent": order.intent,
            "refunded": order.returned >= order.total,
            "status": "succeeded",
        }

    def _event(self, event_type: str, snapshot: dict[str, Any], ago: int, *, spare: bool = False) -> None:
        event = {
            "id": f"evt_{self._letters(12)}",
            "object": "event",
            "api_version": "2026-10-28.endive",
            "created": self._unix(ago),
            "data": {"object": snapshot},
            "livemode": True,
            "pending_webhooks": 1,
            "type": event_type,
        }
        delivery = Delivery("stripe", json.dumps(event).encode())
        self.sent.append(delivery)
        if spare:
            self.spare.append(delivery)

    def _letters(self, count: int) -> str:
        return "".join(self.random.choices(_LETTERS, k=count))

    def _unix(self, ago: int) -> int:
        return self.now // SECOND - ago * 60

    def _time(self, ago: int) -> str:
        return to_rfc3339(self._unix(ago) * SECOND)


def tell(now: Instant) -> Told:
    """The story, ending now."""
    teller = Teller(now)
    _what_agrees(teller)
    _what_agrees_on_a_second_look(teller)
    _what_one_side_missed(teller)
    _what_differs(teller)
    _what_went_wrong_later(teller)
    _what_still_waits(teller)
    _what_is_no_refund(teller)
    return teller.told()


def _what_agrees(teller: Teller) -> None:
    """The bulk: recorded and made, either first, minutes to hours apart; in full or in part."""
    for i in range(24):
        currency = ("GBP", "GBP", "EUR", "GBP", "EUR", "JPY")[i % 6]
        total = teller.random.randrange(18, 420) * (100 if currency != "JPY" else 150) - (5 if currency != "JPY" else 0)
        order = teller.order(currency, total, placed=teller.random.randrange(50, 200) * HOURS)
        amount = total if i % 3 else total // 4
        made = teller.random.randrange(6 * HOURS, 35 * HOURS)
        apart = teller.random.choice((4, 11, 25, 50, 95, 170, 320))
        teller.refund(order, amount, made)
        teller.recorded(order, amount, made + (apart if i % 4 == 0 else -apart))


def _what_agrees_on_a_second_look(teller: Teller) -> None:
    """Sums, and storefronts that tell a status only."""
    sixty_and_forty = teller.order("GBP", 100_00)
    teller.refund(sixty_and_forty, 60_00, 33 * HOURS)
    teller.refund(sixty_and_forty, 40_00, 31 * HOURS)
    teller.recorded(sixty_and_forty, 100_00, 30 * HOURS)

    recorded_in_two = teller.order("EUR", 84_50)
    teller.recorded(recorded_in_two, 15_00, 29 * HOURS)
    teller.recorded(recorded_in_two, 25_00, 28 * HOURS)
    teller.refund(recorded_in_two, 25_00, 27 * HOURS)

    whole_without_amount = teller.order("GBP", 46_80)
    teller.refund(whole_without_amount, 46_80, 26 * HOURS)
    teller.changed(whole_without_amount, 25 * HOURS, "Refunded")

    part_without_amount = teller.order("GBP", 212_00)
    teller.refund(part_without_amount, 32_00, 32 * HOURS)
    teller.changed(part_without_amount, 31 * HOURS, "PartiallyRefunded")

    slow = teller.order("EUR", 59_90)
    refund = teller.refund(slow, 59_90, 34 * HOURS, status="pending")
    teller.recorded(slow, 59_90, 33 * HOURS)
    teller.became(refund, "succeeded", 10 * HOURS)


def _what_one_side_missed(teller: Teller) -> None:
    for currency, total, amount, ago in (("GBP", 138_00, 138_00, 35 * HOURS), ("JPY", 12_400, 3_100, 27 * HOURS)):
        teller.refund(teller.order(currency, total), amount, ago)
    for currency, total, amount, ago in (("GBP", 74_95, 74_95, 33 * HOURS), ("EUR", 310_00, 45_00, 26 * HOURS)):
        teller.recorded(teller.order(currency, total), amount, ago)

    never_heard_of = teller.unpaid_order("GBP", 66_00, 80 * HOURS)
    teller.refund(never_heard_of, 66_00, 30 * HOURS)


def _what_differs(teller: Teller) -> None:
    keyed_wrong = teller.order("GBP", 120_00)
    teller.recorded(keyed_wrong, 15_00, 31 * HOURS)
    teller.refund(keyed_wrong, 12_50, 30 * HOURS)

    without_delivery_cost = teller.order("EUR", 189_90)
    teller.refund(without_delivery_cost, 189_90, 29 * HOURS)
    teller.recorded(without_delivery_cost, 181_95, 28 * HOURS)

    in_another_currency = teller.order("EUR", 52_00)
    teller.recorded(in_another_currency, 52_00, 32 * HOURS)
    teller.refund(in_another_currency, 44_70, 31 * HOURS, currency="GBP")

    one_payment = teller.order("GBP", 90_00)
    split = teller.unpaid_order("GBP", 90_00, 96 * HOURS)
    split.intent = one_payment.intent
    teller.changed(split, 95 * HOURS, "Paid", refunded=0)
    teller.refund(one_payment, 20_00, 28 * HOURS)


def _what_went_wrong_later(teller: Teller) -> None:
    bank_refused = teller.order("GBP", 58_40)
    teller.recorded(bank_refused, 58_40, 35 * HOURS)
    refund = teller.refund(bank_refused, 58_40, 34 * HOURS)
    teller.became(refund, "failed", 2 * HOURS, "refund.failed")

    refunded_twice = teller.order("GBP", 64_00)
    teller.refund(refunded_twice, 64_00, 20 * HOURS)
    teller.refund(refunded_twice, 64_00, 19 * HOURS)
    teller.recorded(refunded_twice, 64_00, 18 * HOURS)

    assumed_refunded = teller.order("EUR", 247_30)
    teller.changed(assumed_refunded, 33 * HOURS, "Paid", refunded=0, order_status="Cancelled")

    teller.disputed(teller.order("GBP", 159_00, placed=400 * HOURS), 32 * HOURS)

    failed_unrecorded = teller.order("GBP", 27_60)
    refund = teller.refund(failed_unrecorded, 27_60, 30 * HOURS, status="pending")
    teller.became(refund, "failed", 9 * HOURS, "refund.failed")


def _what_still_waits(teller: Teller) -> None:
    teller.refund(teller.order("GBP", 43_20), 43_20, 3 * HOURS)
    teller.recorded(teller.order("EUR", 98_00), 12_00, 90)
    teller.changed(teller.order("GBP", 71_10), 5 * HOURS, "Paid", refunded=0, order_status="Cancelled")

    at_the_bank = teller.order("JPY", 8_800)
    teller.refund(at_the_bank, 8_800, 30 * HOURS, status="pending")
    teller.recorded(at_the_bank, 8_800, 29 * HOURS)


def _what_is_no_refund(teller: Teller) -> None:
    """Nothing of this may raise an alarm."""
    on_account = teller.unpaid_order("GBP", 540_00, 60 * HOURS, method=ON_ACCOUNT)
    teller.changed(on_account, 30 * HOURS, "Pending", order_status="Cancelled")

    rejected_in_approval = teller.unpaid_order("GBP", 35_00, 50 * HOURS)
    teller.changed(rejected_in_approval, 49 * HOURS, "Authorized", refunded=0)
    teller.released(rejected_in_approval, 28 * HOURS)
    teller.changed(rejected_in_approval, 27 * HOURS, "Voided", order_status="Cancelled")

    teller.order("GBP", 149_00, placed=20 * HOURS)


def _decimal(amount: int, currency: str) -> str:
    """An amount that becomes a number of JSON with its decimals as written, and never a float."""
    return f"={to_decimal(amount, currency)}"
