"""Opayo (formerly Sage Pay), as a gateway. It sends nothing about refunds: it is asked.

What is read are the transactions of the Reporting and Admin API: their type (`transactiontype`), their state
(`txstateid`, whose numbers Opayo's own plug-ins list), and the transactions that are related to a refund.
Times are written without a zone, in that of the vendor's account.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from config.values import ApiBase, PollInterval, Secret, TimeZone, time_zone, without_path
from ledger.facts import Fact, PaymentFact, RefundFact, RefundStatus
from ledger.instants import Instant, from_rfc3339
from sources.amounts import major_units
from sources.base import Event, NotUnderstood, PolledSettings, PolledSource
from sources.parsing import JsonObject, as_object, clean, identifier, json_object

if TYPE_CHECKING:
    from sources.opayo_api import OpayoPoller

STATE = "api.transaction"
"""The type of what was polled."""
ID = re.compile(r"[0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{12}", re.ASCII)
"""A vpstxid without its braces, in capitals."""

PAYMENTS = ("PAYMENT", "DEFERRED", "AUTHENTICATE", "AUTHORISE", "REPEAT", "REPEATDEFERRED", "RELEASE")
_REFUNDS = ("REFUND",)

_SUCCEEDED = frozenset({"16", "29"})
_VOIDED = frozenset({"18"})
_AUTHORISED = frozenset({"14", "15", "21", "28"})
_RELEASED = frozenset({"19", "22", "26", "27"})
_FAILED = frozenset({"1", "8", "9", "10", "11", "12", "13", "17", "20", "23", *map(str, range(30, 38)), "41"})
"""23: it could not be settled with the bank."""
_UNDER_WAY = frozenset({"2", "3", "4", "5", "6", "7", "24"})
_THOUSANDS = re.compile(r"[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?", re.ASCII)
_STATES = _SUCCEEDED | _VOIDED | _AUTHORISED | _RELEASED | _FAILED | _UNDER_WAY


def _one_group(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except re.error:
        raise ValueError("is not a regular expression") from None
    if groups != 1:
        raise ValueError('needs one group, around the order\'s number, as "^([0-9]+)-"')
    return pattern


class OpayoSettings(PolledSettings):
    """The keys of an Opayo source."""

    kind: Literal["opayo"]
    vendor: str = Field(pattern=r"^[A-Za-z0-9_-]{1,15}$", description="add your vendor name")
    user: str = Field(pattern=r"^[A-Za-z0-9_.@-]{1,100}$", description="add a user of MyOpayo for the Reporting API")
    password: Secret = Field(description="add the password of that user")
    timezone: TimeZone = "Europe/London"
    """Of the times that Opayo writes."""
    order_pattern: Annotated[str, AfterValidator(_one_group)] | None = None
    """Regular expression that finds the order's number in a vendorTxCode; None: it is the whole code."""
    find_voids: bool = True
    """Whether each payment is looked at once more when it cannot be voided any longer."""
    api_base: Annotated[ApiBase, without_path("/access")] = Field("https://live.opayo.eu.elavon.com", repr=False)
    poll_interval: PollInterval = "30m"  # type: ignore[assignment]
    requests_per_second: int = Field(1, ge=1, le=100)


class Opayo(PolledSource[OpayoSettings]):
    """A vendor at Opayo."""

    kind = "opayo"
    settings_model = OpayoSettings

    def interpret(self, event: Event) -> list[Fact]:
        """The facts in the state of a transaction."""
        if event.type != STATE:
            raise NotUnderstood("not a type of event that is used")
        told = json_object(event.body)
        try:
            return self._facts(as_object(told.get("transaction"), "transaction"), _related(told), event.received_at)
        except ValueError as error:
            raise NotUnderstood(str(error)) from None

    def questions(self, event: Event, facts: Sequence[Fact]) -> list[str]:  # noqa: ARG002
        """Whether a refund still fails at the bank, and what was captured of its payment."""
        about: list[str] = []
        for fact in facts:
            if isinstance(fact, RefundFact) and fact.kind == "refund":
                about += [f"refund:{fact.id}"] if fact.status in ("pending", "succeeded") else []
                about += [f"payment:{i}" for i in fact.payment_ids if ID.fullmatch(i)]
        return about

    def poller(self) -> "OpayoPoller":
        """Its API."""
        from sources.http_client import system_clock
        from sources.opayo_api import OpayoPoller

        return OpayoPoller(self, system_clock)

    def _facts(self, transaction: JsonObject, related: list[JsonObject], as_of: Instant) -> list[Fact]:
        kind, state = type_of(transaction), clean(transaction.get("txstateid"))
        if state not in _STATES:
            raise NotUnderstood("txstateid is not known")
        if kind in _REFUNDS:
            return [self._refund(transaction, related, _refund_status(state), as_of)]
        if kind in PAYMENTS:
            return self._payment(transaction, state, as_of)
        raise NotUnderstood("transactiontype is not known")

    def _refund(
        self, refund: JsonObject, related: list[JsonObject], status: RefundStatus, as_of: Instant
    ) -> RefundFact:
        """A refund, with the payments that it is related to."""
        payments = [one for one in related if type_of(one) in PAYMENTS]
        amount, currency = _money(refund)
        at = self._time(refund)
        return RefundFact(
            self.name,
            id_of(refund),
            "refund",
            status,
            amount,
            currency,
            at=at,
            as_of=max(at, as_of),
            payment_ids=tuple(i for one in payments for i in _ids(one)),
            order_refs=tuple(dict.fromkeys(ref for one in (*payments, refund) for ref in self._order_refs(one))),
        )

    def _payment(self, payment: JsonObject, state: str, as_of: Instant) -> list[Fact]:
        """What was captured. A void of that, on the day it was made, gave all of it back."""
        amount, currency = _money(payment)
        captured = state in _SUCCEEDED | _VOIDED
        at, refs, ids = self._time(payment), self._order_refs(payment), _ids(payment)
        fact = PaymentFact(
            self.name,
            ids,
            at,
            currency,
            authorised=amount if state in _AUTHORISED else None,
            captured=amount if captured else 0,
            voided=state in _RELEASED,
            order_refs=refs,
        )
        if state not in _VOIDED:
            return [fact]
        void = RefundFact(self.name, ids[0], "void", "succeeded", amount, currency, at, max(at, as_of), ids, refs)
        return [fact, void]

    def _time(self, transaction: JsonObject) -> Instant:
        """When it was started, as "24/11/2026 14:05:09.123"."""
        text = clean(transaction.get("started")) or ""
        for form in ("%d/%m/%Y %H:%M:%S.%f", "%d/%m/%Y %H:%M:%S"):
            try:
                local = datetime.strptime(text, form).replace(tzinfo=time_zone(self.settings.timezone))
            except ValueError:
                continue
            return from_rfc3339(local.isoformat())
        raise NotUnderstood("started is not a time")

    def _order_refs(self, transaction: JsonObject) -> tuple[str, ...]:
        code = clean(transaction.get("vendortxcode"))
        if code and self.settings.order_pattern:
            match = re.search(self.settings.order_pattern, code)
            code = clean(match[1]) if match else None
        return (code,) if code else ()


def id_of(transaction: JsonObject) -> str:
    """The vpstxid, without braces."""
    text = identifier(transaction.get("vpstxid"), "vpstxid").strip("{}").upper()
    if not ID.fullmatch(text):
        raise NotUnderstood("vpstxid is not the id of a transaction")
    return text


def type_of(transaction: JsonObject) -> str:
    """The transactiontype in capitals."""
    return (clean(transaction.get("transactiontype")) or "").upper()


def _ids(payment: JsonObject) -> tuple[str, str]:
    """A shop writes the id with its braces or without."""
    own = id_of(payment)
    return own, "{%s}" % own  # noqa: UP031 - braces around what an f-string has braces for


def _related(told: JsonObject) -> list[JsonObject]:
    related = told.get("related")
    if not isinstance(related, list):
        raise NotUnderstood("related is not a list")
    return [as_object(one, "related transaction") for one in related]


def _refund_status(state: str) -> RefundStatus:
    if state in _SUCCEEDED:
        return "succeeded"
    if state in _FAILED:
        return "failed"
    return "canceled" if state in _VOIDED | _RELEASED else "pending"


def _money(transaction: JsonObject) -> tuple[int, str]:
    """Amount and currency. Over a thousand there may be commas."""
    told = clean(transaction.get("amount")) or ""
    amount = told.replace(",", "") if _THOUSANDS.fullmatch(told) else told
    return major_units(amount, transaction.get("currency"))
