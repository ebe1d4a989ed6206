"""CyberSource, as a gateway. It is asked, and sends nothing here: its webhooks about cards are encrypted messages.

The Transaction Search API lists every request; the details of one tell what it did (`applications`), how that stands,
and what it belongs to: `rootId` is the request that the payment began with, `relatedTransactions` are those before it.
Names are those of the published specification and guide of the Transaction Search API.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from config.values import ApiBase, Secret, without_path
from ledger.facts import Fact, PaymentFact, RefundFact, RefundStatus
from ledger.instants import Instant, from_rfc3339
from sources.amounts import major_units
from sources.base import Event, NotUnderstood, PolledSettings, PolledSource
from sources.parsing import JsonObject, as_object, clean, identifier, json_object

if TYPE_CHECKING:
    from sources.cybersource_api import CyberSourcePoller

DETAILS = "api.transaction"
"""The type of what was polled."""
ROW = "api.row"
"""The type of a row of the search that leads to no details: it is set aside."""
ID = re.compile(r"[0-9]{1,40}", re.ASCII)

_CAPTURES = ("ics_bill", "ics_ap_sale", "ics_ap_capture", "ics_ecp_debit", "ics_direct_debit", "ics_paypal_do_capture")
_AUTHORISATIONS = ("ics_auth", "ics_ap_auth")
_REFUNDS = (
    "ics_credit",
    "ics_ap_refund",
    "ics_ecp_credit",
    "ics_direct_debit_refund",
    "ics_bank_transfer_refund",
    "ics_paypal_refund",
    "ics_pin_debit_credit",
)
_BY_BANK = ("ics_ecp_credit", "ics_direct_debit_refund", "ics_bank_transfer_refund")
"""Refunds that a bank can send back days later."""
_VOIDS = ("ics_void", "ics_ap_cancel")
_REVERSALS = ("ics_auth_reversal", "ics_ap_auth_reversal", "ics_auto_auth_reversal", "ics_auto_full_auth_reversal")
WANTED = frozenset((*_REFUNDS, *_VOIDS, *_REVERSALS))
"""The applications of requests that say something about money that goes back."""

_STATUS: dict[str, RefundStatus] = {
    **dict.fromkeys(("PENDING", "ACCEPTED", "QUEUED", "AUTHORIZED", "PENDING_REVIEW", "IN_PROGRESS"), "pending"),
    **dict.fromkeys(("TRANSMITTED", "SETTLED", "COMPLETED", "FUNDED", "REFUNDED"), "succeeded"),
    **dict.fromkeys(("VOIDED", "CANCELLED", "CANCELED", "REVERSED"), "canceled"),
    **dict.fromkeys(
        ("DECLINED", "REJECTED", "FAILED", "BATCH_ERROR", "TRXN_ERROR", "SERVER_ERROR", "INVALID_REQUEST", "RETURNED"),
        "failed",
    ),
}


def _is_base64(secret: Secret) -> Secret:
    try:
        base64.b64decode(secret.get_secret_value(), validate=True)
    except binascii.Error:
        raise ValueError("is not base64: copy the shared secret as Key Management shows it") from None
    return secret


class CyberSourceSettings(PolledSettings):
    """The keys of a CyberSource source."""

    kind: Literal["cybersource"]
    merchant_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,100}$", description="add your merchant id")
    key_id: str = Field(pattern=r"^[A-Za-z0-9-]{1,100}$", description="add the id of a REST shared-secret key")
    shared_secret: Annotated[Secret, AfterValidator(_is_base64)] = Field(
        description="add the shared secret of that key"
    )
    refund_succeeds: Literal["transmitted", "accepted"] = "transmitted"
    """When a refund counts as made: once it was sent to the processor, or as soon as CyberSource took it."""
    api_base: Annotated[ApiBase, without_path("/tss")] = Field("https://api.cybersource.com", repr=False)
    requests_per_second: int = Field(2, ge=1, le=100)


class CyberSource(PolledSource[CyberSourceSettings]):
    """A merchant at CyberSource."""

    kind = "cybersource"
    settings_model = CyberSourceSettings

    def interpret(self, event: Event) -> list[Fact]:
        """The facts in the details of a request."""
        if event.type == ROW:
            raise NotUnderstood("a row of the search that is none, or whose details are not told")
        if event.type != DETAILS:
            raise NotUnderstood("not a type of event that is used")
        try:
            transaction = Transaction(json_object(event.body))
            return _facts(self.name, transaction, self.settings.refund_succeeds == "accepted", event.received_at)
        except ValueError as error:
            raise NotUnderstood(str(error)) from None

    def questions(self, event: Event, facts: Sequence[Fact]) -> list[str]:
        """How a refund ends, and what was captured of its payment."""
        transaction = Transaction(json_object(event.body))
        about = []
        for fact in facts:
            if isinstance(fact, RefundFact):
                late = fact.status == "succeeded" and transaction.by_bank
                if fact.kind == "refund" and (fact.status == "pending" or late):
                    about.append(f"refund:{fact.id}")
                about += [f"payment:{i}" for i in fact.payment_ids[:1] if ID.fullmatch(i)]
        return about

    def poller(self) -> "CyberSourcePoller":
        """Its API."""
        from sources.cybersource_api import CyberSourcePoller
        from sources.http_client import system_clock

        return CyberSourcePoller(self, system_clock)


class Transaction:
    """One request and what it did. Raises NotUnderstood or ValueError."""

    def __init__(self, fields: JsonObject) -> None:
        self._fields = fields
        self.id = identifier(fields.get("id"), "id")
        self.at = from_rfc3339(fields.get("submitTimeUTC") or fields.get("submitTimeUtc"))
        self.applications = {
            clean(one.get("name")): one for one in _list(_inside(fields, "applicationInformation"), "applications")
        }

    def did(self, names: tuple[str, ...]) -> JsonObject | None:
        """The first of these applications that it ran."""
        return next((self.applications[name] for name in names if name in self.applications), None)

    @property
    def by_bank(self) -> bool:
        """Whether it is a refund that a bank can send back."""
        return self.did(_BY_BANK) is not None

    def status(self, application: JsonObject) -> str:
        """How it stands: its own word, else that of the whole request; empty where none is told."""
        whole = _inside(self._fields, "applicationInformation").get("status")
        return clean(application.get("status")) or clean(whole) or ""

    def money(self) -> tuple[int, str]:
        """Amount and currency."""
        details = _inside(_inside(self._fields, "orderInformation"), "amountDetails")
        return major_units(details.get("totalAmount"), details.get("currency"))

    @property
    def root(self) -> str | None:
        """The request that the payment began with; None where it is this one, or not told."""
        root = clean(self._fields.get("rootId"))
        return root if root != self.id else None

    @property
    def payment_ids(self) -> tuple[str, ...]:
        """The requests of the payment that it belongs to, the first one first; none where it stands alone."""
        ids = [*([self.root] if self.root else []), *self.related]
        return tuple(dict.fromkeys(identifier(i, "rootId") for i in ids))

    @property
    def related(self) -> list[str]:
        """The requests that it follows directly."""
        links = _list(_inside(self._fields, "_links"), "relatedTransactions")
        return [
            own for link in links if (own := str(link.get("href")).rpartition("/")[2]) != self.id and ID.fullmatch(own)
        ]

    @property
    def order_refs(self) -> tuple[str, ...]:
        """The shop's own reference."""
        text = clean(_inside(self._fields, "clientReferenceInformation").get("code"))
        return (text,) if text else ()


def succeeded(application: JsonObject) -> bool:
    """Whether CyberSource did it: the reply code is 1."""
    return str(application.get("rCode")) == "1"


def _facts(source: str, transaction: Transaction, accepted: bool, as_of: Instant) -> list[Fact]:  # noqa: FBT001
    if application := transaction.did(_REFUNDS):
        return [_refund(source, transaction, _refund_status(transaction, application, accepted), as_of)]
    if application := transaction.did(_VOIDS):
        return [_void(source, transaction)] if succeeded(application) else []
    if application := transaction.did(_REVERSALS):
        return list(_reversal(source, transaction)) if succeeded(application) else []
    if transaction.did(_CAPTURES) or transaction.did(_AUTHORISATIONS):
        return [_payment(source, transaction)]
    return []


def _refund_status(transaction: Transaction, application: JsonObject, accepted: bool) -> RefundStatus:  # noqa: FBT001
    if not succeeded(application):
        return "failed"
    told = transaction.status(application)
    status = _STATUS.get(told.upper()) if told else "pending"
    if status is None:
        raise NotUnderstood("status of the refund is not known")
    return "succeeded" if accepted and status == "pending" else status


def _refund(source: str, refund: Transaction, status: RefundStatus, as_of: Instant) -> RefundFact:
    amount, currency = refund.money()
    return RefundFact(
        source,
        refund.id,
        "refund",
        status,
        amount,
        currency,
        at=refund.at,
        as_of=max(refund.at, as_of),
        payment_ids=refund.payment_ids,
        order_refs=refund.order_refs,
    )


def _void(source: str, void: Transaction) -> RefundFact:
    """A void has the id of what it voids, a capture or a refund: which, other facts of the same id tell."""
    amount, currency = void.money()
    followed = [own for own in void.related if own != void.root] or void.related or void.payment_ids
    if len(followed) != 1:
        raise NotUnderstood("it is not told what was voided")
    ids = tuple(dict.fromkeys((*void.payment_ids, *followed)))
    return RefundFact(
        source, followed[0], "void", "succeeded", amount, currency, void.at, void.at, ids, void.order_refs
    )


def _reversal(source: str, reversal: Transaction) -> Iterator[Fact]:
    """What had not been captured is released."""
    if reversal.payment_ids:
        yield PaymentFact(source, reversal.payment_ids, reversal.at, reversal.money()[1], voided=True)


def _payment(source: str, payment: Transaction) -> PaymentFact:
    """What was asked for first. A capture of its own may be one of several, so it does not tell the total."""
    amount, currency = payment.money()
    capture, authorisation = payment.did(_CAPTURES), payment.did(_AUTHORISATIONS)
    captured = amount if capture and succeeded(capture) and not payment.payment_ids else None
    failed = not any(application and succeeded(application) for application in (capture, authorisation))
    return PaymentFact(
        source,
        (*payment.payment_ids, payment.id),
        payment.at,
        currency,
        authorised=amount if authorisation else None,
        captured=0 if failed else captured,
        order_refs=payment.order_refs,
    )


def _inside(fields: JsonObject, name: str) -> JsonObject:
    """The object of that name; an empty one where there is none."""
    value = fields.get(name)
    return {} if value is None else as_object(value, name)


def _list(fields: JsonObject, name: str) -> list[JsonObject]:
    value = fields.get(name) or []
    if not isinstance(value, list):
        raise NotUnderstood(f"{name} is not a list")
    return [as_object(item, name) for item in value]
