"""Authorize.net's transactions as its reporting API shows them, and the facts in them.

Names of fields, types and statuses are those of the published AnetApiSchema.xsd. No answer tells a currency. A row of
a list tells neither the type of a transaction nor what it refers to; its details do.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ledger.facts import DisputeFact, Fact, PaymentFact, RefundFact, RefundStatus
from ledger.instants import Instant, from_rfc3339
from ledger.money import from_decimal
from sources.base import Event, Message, NotUnderstood
from sources.parsing import JsonObject, as_object, body_key, canonical, clean, content_hash, identifier, json_object
from sources.polling import Listed

ROW = "api.listed"
"""A settled payment, as a list tells it."""
DETAILS = "api.transaction"
ID = re.compile(r"[0-9]{1,20}", re.ASCII)
"""A transId that can be asked about: the schema refuses any other."""

SETTLED_PAYMENT = "settledSuccessfully"
_DISPUTED = frozenset({"returnedItem", "chargeback", "chargebackReversal"})
REFUND_ROWS: dict[str, RefundStatus] = {
    "refundPendingSettlement": "pending",
    "refundSettledSuccessfully": "succeeded",
}
DETAILED_ROWS = frozenset(REFUND_ROWS) | _DISPUTED | {"voided", "settlementError"}
"""The statuses whose details say something about money that goes back."""

_PENDING: tuple[str, ...] = (
    "underReview",
    "FDSPendingReview",
    "FDSAuthorizedPendingReview",
    "approvedReview",
    "pendingSettlement",
    "pendingFinalSettlement",
    "updatingSettlement",
    "capturedPendingSettlement",
    "authorizedPendingCapture",
    "authorizedPendingRelease",
)
_FAILED: tuple[str, ...] = (
    "declined",
    "generalError",
    "communicationError",
    "settlementError",
    "failedReview",
    "couldNotVoid",
    "expired",
    "returnedItem",
)
_REFUND_STATUS: dict[str, RefundStatus] = {
    **dict.fromkeys(_PENDING, "pending"),
    **dict.fromkeys(_FAILED, "failed"),
    **REFUND_ROWS,
    "voided": "canceled",
    SETTLED_PAYMENT: "succeeded",
}

# Whether the money of a payment was taken in this status.
_CAPTURED = _DISPUTED | {
    SETTLED_PAYMENT,
    "capturedPendingSettlement",
    "pendingSettlement",
    "pendingFinalSettlement",
    "updatingSettlement",
}
_CAPTURED_UNLESS_AUTHORISED_ONLY = frozenset({"voided", "approvedReview", "couldNotVoid"})
_KNOWN = _CAPTURED | _REFUND_STATUS.keys()

_ROW_FIELDS = ("transId", "transactionStatus", "submitTimeUTC", "settleAmount", "invoiceNumber")


def row_message(row: JsonObject) -> Message:
    """The row of a settled payment, without the names and numbers of people in it."""
    body = _kept(row)
    return Message(_key(row, body), ROW, body)


def is_row(row: object) -> bool:
    """Whether it is the row of a transaction: it tells which, and how that stands."""
    try:
        return bool(isinstance(row, dict) and ID.fullmatch(id_of(row)) and status_of(row))
    except NotUnderstood:
        return False


def row_set_aside(row: object) -> Message:
    """A row that is none, without what it tells of people."""
    body = _kept(row if isinstance(row, dict) else {})
    return Message(body_key(body), ROW, body, "malformed")


def details_set_aside(body: bytes) -> Message:
    """An answer without the details of a transaction in it, as it came."""
    return Message(body_key(body), DETAILS, body, "malformed")


def details_message(body: bytes, transaction: JsonObject) -> Message:
    """The answer with the transaction's details, as it came. The same state has the same key."""
    return Message(_key(transaction, canonical(transaction)), DETAILS, body)


def _kept(row: JsonObject) -> bytes:
    return canonical({name: row[name] for name in _ROW_FIELDS if name in row})


def _key(transaction: JsonObject, content: bytes) -> str:
    trans_id = id_of(transaction)[:64]
    return f"{trans_id}:{status_of(transaction)[:64]}:{content_hash(content)}"


def details(body: bytes) -> JsonObject:
    """The transaction in an answer with details."""
    return as_object(json_object(body).get("transaction"), "transaction")


def id_of(transaction: JsonObject) -> str:
    """Its transId."""
    return identifier(transaction.get("transId"), "transId")


def status_of(transaction: JsonObject) -> str:
    """Its transactionStatus."""
    return identifier(transaction.get("transactionStatus"), "transactionStatus")


def reference_of(transaction: JsonObject) -> str | None:
    """The transaction that it refers to: of a refund the payment. None for an unlinked credit."""
    told = clean(transaction.get("refTransId"))
    return identifier(told, "refTransId") if told and told.strip("0") else None


def questions_of(transaction: JsonObject) -> Iterator[str]:
    """What the details leave open: how a refund or a dispute ends, and the payment that they refer to."""
    trans_id, payment = id_of(transaction), reference_of(transaction)
    if _is_refund(transaction):
        if _REFUND_STATUS.get(status_of(transaction)) == "pending":
            yield f"refund:{trans_id}"
    elif _direction(transaction) == "withdrawn" and not payment:
        yield f"payment:{trans_id}"
    if payment:
        yield f"payment:{payment}"


def listed_of(facts: list[Fact]) -> Listed | None:
    """What these facts of one transaction say went back; None for a payment, also one released before capture."""
    released = any(isinstance(f, PaymentFact) and f.captured == 0 for f in facts)
    for f in facts:
        if isinstance(f, RefundFact) and not released:
            return Listed(f.id, f.kind, f.status, f.amount, f.currency, f.at)
        if isinstance(f, DisputeFact):
            status = "succeeded" if f.direction == "withdrawn" else "reversed"
            return Listed(f.dispute_id, "chargeback", status, f.amount, f.currency, f.at)
    return None


@dataclass(frozen=True, slots=True)
class Reading:
    """Who tells, in which currency, and when it was so. What cannot be read raises NotUnderstood or ValueError."""

    source: str
    currency: str
    as_of: Instant

    def facts(self, event: Event) -> list[Fact]:
        """The facts in a polled event."""
        return [self.row(json_object(event.body))] if event.type == ROW else self.details(details(event.body))

    def row(self, row: JsonObject) -> Fact:
        """A row of a list: a refund, or a settled payment."""
        trans_id = id_of(row)
        amount = self.amount(row.get("settleAmount"))
        refs = order_refs(row)
        if status := REFUND_ROWS.get(status_of(row)):
            at = from_rfc3339(row.get("submitTimeUTC"))
            return RefundFact(
                self.source, trans_id, "refund", status, amount, self.currency, at, self.as_of, order_refs=refs
            )
        return PaymentFact(self.source, (trans_id,), self.as_of, self.currency, captured=amount, order_refs=refs)

    def details(self, transaction: JsonObject) -> list[Fact]:
        """The details of a transaction: a refund, a payment, the void of one, a movement of a dispute."""
        status, kind = status_of(transaction), clean(transaction.get("transactionType"))
        if status not in _KNOWN:
            raise NotUnderstood("transactionStatus is not known")
        if _is_refund(transaction):
            return [self._refund(transaction)]
        if kind == "voidTransaction":
            return [self._void(transaction, reference_of(transaction))]
        if direction := _direction(transaction):
            reference = reference_of(transaction)
            moved = self._movement(transaction, direction, reference)
            # A chargeback that is a transaction of its own says nothing about what its payment captured.
            return [moved] if reference else [self._payment(transaction), moved]
        payment = self._payment(transaction)
        return [payment, self._void(transaction, None)] if status == "voided" else [payment]

    def amount(self, told: object) -> int:
        """Minor units of an amount in major units."""
        minor = from_decimal(told, self.currency)
        if minor < 0:
            raise NotUnderstood("amount is negative")
        return minor

    def _refund(self, refund: JsonObject) -> RefundFact:
        status = "failed" if _returned_items(refund) else _REFUND_STATUS.get(status_of(refund))
        if status is None:
            raise NotUnderstood("a refund does not have this transactionStatus")
        reference = reference_of(refund)
        return RefundFact(
            self.source,
            id_of(refund),
            "refund",
            status,
            self._amount_of(refund),
            self.currency,
            at=from_rfc3339(refund.get("submitTimeUTC")),
            as_of=self.as_of,
            payment_ids=(reference,) if reference else (),
            order_refs=_order_refs_of(refund),
        )

    def _void(self, transaction: JsonObject, payment: str | None) -> RefundFact:
        """A void has the id of what it voids. Its own time is not told: it was before the batch settled."""
        voided = payment or id_of(transaction)
        batch = transaction.get("batch")
        settled = batch.get("settlementTimeUTC") if isinstance(batch, dict) else None
        at = self.as_of if settled is None else min(from_rfc3339(settled), self.as_of)
        amount = self._amount_of(transaction)
        return RefundFact(
            self.source,
            voided,
            "void",
            "succeeded",
            amount,
            self.currency,
            at,
            self.as_of,
            payment_ids=(voided,),
            order_refs=_order_refs_of(transaction),
        )

    def _payment(self, payment: JsonObject) -> PaymentFact:
        status = status_of(payment)
        only_authorised = (clean(payment.get("transactionType")) or "").startswith("authOnly")
        released = only_authorised and status in ("voided", "expired")
        ids = (id_of(payment), reference_of(payment))
        captured = status in _CAPTURED or (not only_authorised and status in _CAPTURED_UNLESS_AUTHORISED_ONLY)
        return PaymentFact(
            self.source,
            tuple(dict.fromkeys(i for i in ids if i)),
            self.as_of,
            self.currency,
            authorised=None if captured else self._amount_of(payment),
            captured=self._amount_of(payment) if captured else 0,
            voided=released,
            order_refs=_order_refs_of(payment),
        )

    def _movement(self, transaction: JsonObject, direction: str, reference: str | None) -> DisputeFact:
        """Taken back by the customer's bank, or given back. On the payment itself, only a return tells its time."""
        trans_id = id_of(transaction)
        payment = reference or trans_id
        returned = [as_object(item, "returned item").get("dateUTC") for item in _returned_items(transaction)]
        told = min(map(from_rfc3339, returned), default=None)
        if told is None and reference:
            told = from_rfc3339(transaction.get("submitTimeUTC"))
        return DisputeFact(
            self.source,
            payment,
            trans_id if reference else "",
            "withdrawn" if direction == "withdrawn" else "reinstated",
            self._amount_of(transaction),
            self.currency,
            at=self.as_of if told is None else told,
            payment_ids=tuple(dict.fromkeys((payment, trans_id))),
        )

    def _amount_of(self, transaction: JsonObject) -> int:
        """What settled; before that, and of what was voided, what was asked for."""
        return self.amount(transaction.get("settleAmount") or 0) or self.amount(transaction.get("authAmount"))


def order_refs(transaction: JsonObject) -> tuple[str, ...]:
    """What the invoiceNumber says of the order: its number, or the opening of its GUID."""
    text = clean(transaction.get("invoiceNumber"))
    return (text,) if text else ()


def _order_refs_of(transaction: JsonObject) -> tuple[str, ...]:
    order = transaction.get("order")
    return order_refs(order) if isinstance(order, dict) else ()


def _is_refund(transaction: JsonObject) -> bool:
    # The schema allows a transaction without a type.
    return clean(transaction.get("transactionType")) == "refundTransaction" or status_of(transaction) in REFUND_ROWS


def _direction(transaction: JsonObject) -> str | None:
    status = status_of(transaction)
    if status == "chargebackReversal":
        return "reinstated"
    return "withdrawn" if status in ("chargeback", "returnedItem") or _returned_items(transaction) else None


def _returned_items(transaction: JsonObject) -> list[object]:
    items = transaction.get("returnedItems") or []
    if not isinstance(items, list):
        raise NotUnderstood("returnedItems is not a list")
    return items
