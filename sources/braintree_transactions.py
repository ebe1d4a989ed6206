"""Braintree's transactions and disputes, as a webhook or a search shows them, and the facts in them.

Names of fields and statuses are those of braintree_python. Amounts are decimals of whole units of the currency.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ledger.facts import DisputeFact, Fact, PaymentFact, RefundFact, RefundStatus
from ledger.instants import Instant, from_rfc3339
from sources.amounts import major_units
from sources.base import NotUnderstood
from sources.parsing import JsonObject, as_object, clean, identifier

ID = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)
"""An id that can be asked about."""

STATE = "api."
"""Begins the type of what was polled: `api.transaction`, `api.dispute`."""

_TAKEN = ("submitted_for_settlement", "settlement_pending", "settling", "settlement_confirmed", "settled")
"""The statuses of a sale whose money was taken, or is on its way."""
_AUTHORISED = ("authorizing", "authorized")
_WITHOUT_MONEY = (
    "voided",
    "authorization_expired",
    "failed",
    "gateway_rejected",
    "processor_declined",
    "settlement_declined",
    "settlement_failed",
)
"""A sale that ended so took nothing, or gave all of it back."""

_REFUND_STATUS: dict[str, RefundStatus] = {
    **dict.fromkeys((*_AUTHORISED, *_TAKEN), "pending"),
    **dict.fromkeys(_WITHOUT_MONEY, "failed"),
    "settled": "succeeded",
    "voided": "canceled",
}
_BANK_DEBITS = ("us_bank_account", "sepa_debit_account")
"""Payment instruments whose refunds a bank can send back after they have settled."""

_OPENED = ("open", "disputed", "under_review")
_LOST = ("lost", "accepted", "auto_accepted", "expired")

KEPT = {
    "transaction": (
        "id",
        "type",
        "status",
        "amount",
        "currency_iso_code",
        "order_id",
        "created_at",
        "updated_at",
        "refunded_transaction_id",
        "payment_instrument_type",
    ),
    "dispute": (
        "id",
        "kind",
        "status",
        "amount",
        "amount_disputed",
        "amount_won",
        "currency_iso_code",
        "created_at",
        "date_opened",
        "date_won",
        "received_date",
    ),
}
"""What is kept of what was polled, with the steps of its history: nothing about the customer."""


def is_refund(transaction: JsonObject) -> bool:
    """Whether it gives money back."""
    return transaction.get("type") == "credit"


def can_change(transaction: JsonObject) -> Literal["soon", "late", "never"]:
    """How a refund can still end otherwise: it is under way, or a bank can send it back."""
    status = _REFUND_STATUS.get(str(transaction.get("status")))
    if status == "pending":
        return "soon"
    by_bank = transaction.get("payment_instrument_type") in _BANK_DEBITS
    return "late" if status == "succeeded" and by_bank else "never"


def question(kind: str, own: object) -> Iterator[str]:
    """Ask about a transaction, if that is the id of one."""
    if isinstance(own, str) and ID.fullmatch(own):
        yield f"{kind}:{own}"


def questions_of(thing: str, fields: JsonObject) -> Iterator[str]:
    """How a refund ends, and the payment of a refund or a dispute: it tells the order and what was captured."""
    if thing == "dispute":
        payment = fields.get("transaction")
        yield from question("payment", payment.get("id") if isinstance(payment, dict) else None)
    elif is_refund(fields):
        if can_change(fields) != "never":
            yield from question("refund", fields.get("id"))
        yield from question("payment", fields.get("refunded_transaction_id"))


@dataclass(frozen=True, slots=True)
class Reading:
    """Who tells, and what stands in where the content does not say. Raises NotUnderstood or ValueError."""

    source: str
    disputes_withdraw: Literal["opened", "lost"]
    currency: str | None
    told_at: Instant
    received_at: Instant
    """No time that is told counts as later than this."""

    def of(self, thing: str, fields: JsonObject) -> list[Fact]:
        """The facts in a transaction or a dispute."""
        if thing == "dispute":
            return self._dispute(fields)
        if is_refund(fields):
            return [self._refund(fields)]
        if fields.get("type") == "sale":
            return self._sale(fields)
        raise NotUnderstood("type of the transaction is not known")

    def _refund(self, refund: JsonObject) -> RefundFact:
        """A refund. A credit without a payment is one that an operator links."""
        status = _REFUND_STATUS.get(str(refund.get("status")))
        if status is None:
            raise NotUnderstood("status of the refund is not known")
        payment = refund.get("refunded_transaction_id")
        amount, currency = self._amount(refund, "amount")
        return RefundFact(
            self.source,
            identifier(refund.get("id"), "id of the refund"),
            "refund",
            status,
            amount,
            currency,
            at=self._time(refund, "created_at"),
            as_of=self._time(refund, "updated_at"),
            payment_ids=(identifier(payment, "refunded-transaction-id"),) if payment else (),
            order_refs=_order_refs(refund),
        )

    def _sale(self, sale: JsonObject) -> list[Fact]:
        """What was captured; and where it ended without money, that all of it went back."""
        status, own = str(sale.get("status")), identifier(sale.get("id"), "id of the transaction")
        if status not in (*_TAKEN, *_AUTHORISED, *_WITHOUT_MONEY):
            raise NotUnderstood("status of the transaction is not known")
        amount, currency = self._amount(sale, "amount")
        was_taken = status in _TAKEN or any(step.get("status") in _TAKEN for step in _history(sale))
        as_of, refs = self._time(sale, "updated_at"), _order_refs(sale)
        payment = PaymentFact(
            self.source,
            (own,),
            as_of,
            currency,
            authorised=amount if status in _AUTHORISED else None,
            captured=amount if was_taken else 0,
            voided=status in _WITHOUT_MONEY and not was_taken,
            order_refs=refs,
        )
        if status not in _WITHOUT_MONEY:
            return [payment]
        # Of a sale that was only authorised it returns nothing: that follows from what was captured.
        at = self._reached(sale, status, as_of)
        void = RefundFact(self.source, own, "void", "succeeded", amount, currency, at, as_of, (own,), refs)
        return [payment, void]

    def _dispute(self, dispute: JsonObject) -> list[Fact]:
        """The money that it took, and gave back when it was won. A retrieval only asks for papers."""
        status = dispute.get("status")
        if dispute.get("kind") == "retrieval":
            return []
        if status not in (*_OPENED, *_LOST, "won"):
            raise NotUnderstood("status of the dispute is not known")
        opened = self._time(dispute, "created_at", "date_opened", "received_date")
        if self.disputes_withdraw == "lost":
            lost = self._reached(dispute, str(status), self.told_at)
            return [self._moved(dispute, "withdrawn", "amount_disputed", lost)] if status in _LOST else []
        taken = self._moved(dispute, "withdrawn", "amount_disputed", opened)
        if status != "won":
            return [taken]
        won = self._reached(dispute, "won", self._time(dispute, "date_won"))
        return [taken, self._moved(dispute, "reinstated", "amount_won", won)]

    def _moved(
        self, dispute: JsonObject, direction: Literal["withdrawn", "reinstated"], field: str, at: Instant
    ) -> DisputeFact:
        amount, currency = self._amount(dispute, field, "amount")
        payment = as_object(dispute.get("transaction"), "transaction").get("id")
        ids = (identifier(payment, "id of the transaction"),)
        own = identifier(dispute.get("id"), "id of the dispute")
        return DisputeFact(self.source, own, "", direction, amount, currency, at, ids)

    def _amount(self, fields: JsonObject, *names: str) -> tuple[int, str]:
        return major_units(_first(fields, *names), fields.get("currency_iso_code") or self.currency)

    def _time(self, fields: JsonObject, *names: str) -> Instant:
        """The first of these times that is told."""
        told = _first(fields, *names)
        return self.told_at if told is None else min(from_rfc3339(told), self.received_at)

    def _reached(self, fields: JsonObject, status: str, otherwise: Instant) -> Instant:
        """When it first had this status."""
        steps = [step.get("timestamp") for step in _history(fields) if step.get("status") == status]
        return min(self.received_at, min(map(from_rfc3339, filter(None, steps)), default=otherwise))


def _first(fields: JsonObject, *names: str) -> Any:  # noqa: ANN401 - whatever was sent
    return next((fields[name] for name in names if fields.get(name) not in (None, "")), None)


def _history(fields: JsonObject) -> list[JsonObject]:
    told = fields.get("status_history")
    return [step for step in told if isinstance(step, dict)] if isinstance(told, list) else []


def _order_refs(transaction: JsonObject) -> tuple[str, ...]:
    text = clean(transaction.get("order_id"))
    return (text,) if text else ()
