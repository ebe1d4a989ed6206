"""Reports as events: what a row of a shop's or a gateway's export says, as a message for the journal.

A row of a storefront's report is an order-change event like any other. A row of a gateway's report becomes one neutral
type of message, `import.refund`, which is read here for every gateway: no gateway's own event could be made of it.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal, TypeVar, get_args

from ledger.facts import DisputeFact, Fact, OrderFact, RefundFact, RefundStatus
from ledger.instants import Instant, from_rfc3339, to_rfc3339
from ledger.money import MoneyError, currency_of, from_decimal, to_decimal
from sources.base import Event, Message, NotUnderstood, Source
from sources.custom import KINDS
from sources.infigo import CHANGED
from sources.parsing import canonical, clean, content_hash, identifier, is_placeholder, json_object, own_identifier

T = TypeVar("T")

REFUND = "import.refund"
"""The type of a row of a gateway's report."""

GATEWAY_FIELDS = {
    "id": "the refund's id, as the gateway's webhooks tell it; of a chargeback the dispute's",
    "status": "pending, succeeded, failed or canceled",
    "amount": "what went back, in major units",
    "currency": "three letters",
    "at": "when it was made",
    "as_of": "since when the status is so; left out: `at`",
    "kind": "refund, void, chargeback or chargeback_reversed; left out: refund",
    "payment": "the payment's id, as the order in the storefront names it",
    "order": "the order's number",
}
STOREFRONT_FIELDS = {
    "order": "the order's number",
    "occurred_at": "for when the row speaks: its last change, or when the report was made",
    "payment_status": "Pending, Authorized, Paid, PartiallyRefunded, Refunded or Voided",
    "order_status": "Pending, Processing, Complete or Cancelled",
    "total": "the order's total, in major units",
    "refunded": "all that is recorded as refunded so far",
    "currency": "three letters",
    "method": "the payment method's system name",
    "transaction": "the gateway's id of the captured payment",
    "authorization": "the gateway's id of the authorisation",
    "guid": "the order's GUID",
    "placed_at": "when it was placed",
}
NEEDED = {"gateway": ("id", "status", "amount", "currency", "at"), "storefront": ("order", "occurred_at")}
_ORDER_NAMES = {
    "order": "Id",
    "guid": "OrderGuid",
    "order_status": "OrderStatus",
    "payment_status": "PaymentStatus",
    "total": "OrderTotal",
    "refunded": "RefundedAmount",
    "currency": "CustomerCurrencyCode",
    "method": "PaymentMethodSystemName",
    "transaction": "CaptureTransactionId",
    "authorization": "AuthorizationTransactionId",
    "placed_at": "CreatedOnUtc",
}

_STATUSES: tuple[RefundStatus, ...] = get_args(RefundStatus)
_HOUR = re.compile(r"%[HIXc]")
_IDS = ("id", "payment", "order", "transaction", "authorization")
_SHORTENED = re.compile(r"[0-9]([.,][0-9]+)?[Ee]\+[0-9]+", re.ASCII)
"""What a spreadsheet makes of a long number: several ids become one."""


def fields_of(role: str) -> dict[str, str]:
    """The fields of a report of a gateway or of a storefront, and what each of them is."""
    return GATEWAY_FIELDS if role == "gateway" else STOREFRONT_FIELDS


@dataclass(frozen=True)
class Form:
    """How a report writes things."""

    words: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(field, its word) = our word."""
    decimal_comma: bool = False
    negative: bool = False
    """What went back is written with a minus."""
    date_format: str | None = None
    """As `strptime` has it; None: ISO 8601."""
    zone: tzinfo = UTC
    """Of times that tell none."""


@dataclass(frozen=True)
class Told:
    """A row understood."""

    message: Message
    facts: list[Fact]
    about: str
    """What it speaks of, and for when: two rows that say this alike may not differ."""


def told_by(source: Source[Any], cells: Mapping[str, str], form: Form, now: Instant) -> Told:
    """What a row says, its cells by field; an empty one tells nothing. Raises NotUnderstood, which quotes no cell."""
    cells = {name: form.words.get((name, text), text) for name, text in cells.items() if text}
    if empty := [name for name in NEEDED[source.role] if name not in cells]:
        raise NotUnderstood("; ".join(f"{name} is empty" for name in empty))
    if shortened := [name for name in _IDS if _SHORTENED.fullmatch(cells.get(name, ""))]:
        mend = "a number that a spreadsheet has shortened: take the report as it was exported"
        raise NotUnderstood("; ".join(f"{name} is {mend}" for name in shortened))
    reading = _Row(cells, form, now)
    body = reading.refund() if source.role == "gateway" else reading.order()
    event_type = REFUND if source.role == "gateway" else CHANGED
    raw = canonical(body)
    message = Message(f"import:{content_hash(raw)}", event_type, raw)
    facts = facts_of(source, Event(0, source.name, str(message.key), event_type, raw, now))
    _check_status(cells, facts)
    about = [cells["id"], body["as_of"]] if source.role == "gateway" else [cells["order"], body["occurred_at"]]
    return Told(message, facts, "\0".join(about))


def facts_of(source: Source[Any], event: Event) -> list[Fact]:
    """What an event says, also one that was imported. Raises NotUnderstood."""
    if event.type != REFUND:
        return source.interpret(event)
    try:
        return _imported(source.name, json_object(event.body), event.received_at)
    except ValueError as error:
        raise NotUnderstood(str(error)) from None


class _Row:
    """The cells of one row. What is wrong with each is told together."""

    def __init__(self, cells: Mapping[str, str], form: Form, now: Instant) -> None:
        self._cells = cells
        self._form = form
        self._now = now
        self._faults: list[str] = []

    def refund(self) -> dict[str, Any]:
        """The body of an `import.refund`. Raises NotUnderstood."""
        told = {
            "id": self._cells["id"],
            "kind": self._tried(self._word, "kind", KINDS) or "refund",
            "status": self._tried(self._word, "status", _STATUSES),
            "amount": self._tried(self._money),
            "currency": self._cells["currency"].upper(),
            # Of a day without a time: made by its end, and so as of its beginning. Then a webhook of that day, which
            # tells the hour, is the earlier one that says when it was made, and the later one that says its status.
            "at": self._tried(self._end, "at"),
            "as_of": self._tried(self._time, "as_of" if "as_of" in self._cells else "at"),
            "payment_ids": [i for i in (self._cells.get("payment"),) if i and not is_placeholder(i)],
            "order_refs": [self._cells[name] for name in ("order",) if name in self._cells],
        }
        self._end_with_faults()
        return told

    def order(self) -> dict[str, Any]:
        """The body of an order-change event, with what the row tells. Raises NotUnderstood."""
        told: dict[str, Any] = {
            theirs: self._cells[ours] for ours, theirs in _ORDER_NAMES.items() if ours in self._cells
        }
        for names, read in ((("total", "refunded"), self._amount), (("placed_at",), self._time)):
            told |= {_ORDER_NAMES[name]: self._tried(read, name) for name in names if name in self._cells}
        body = {"event": CHANGED, "occurred_at": self._tried(self._time, "occurred_at"), "order": told}
        self._end_with_faults()
        return body

    def _tried(self, read: Callable[..., T], *arguments: Any) -> T | None:  # noqa: ANN401 - whatever it takes
        try:
            return read(*arguments)
        except (NotUnderstood, MoneyError) as error:
            self._faults.append(str(error))
            return None

    def _end_with_faults(self) -> None:
        if self._faults:
            raise NotUnderstood("; ".join(dict.fromkeys(self._faults)))

    def _money(self) -> str:
        currency = currency_of(self._cells["currency"])
        return to_decimal(from_decimal(self._amount("amount"), currency), currency)

    def _word(self, name: str, ours: tuple[str, ...]) -> str | None:
        word = self._cells.get(name, "").lower()
        if word and word not in ours:
            raise NotUnderstood(f"{name} is none of {', '.join(ours)}: say with --value what the report's word means")
        return word or None

    def _amount(self, name: str) -> str:
        """A decimal number without separators of thousands."""
        text = "".join(map(_sign_or_blank, self._cells[name]))
        thousands, point = (r"[. ]", ",") if self._form.decimal_comma else (r"[, ]", r"\.")
        number = rf"([0-9]+|[0-9]{{1,3}}({thousands}[0-9]{{3}})+)( ?{point}[0-9]+)?"
        # A sign or a blank amid the digits may be a point, as in 1€50: what goes there is said here.
        if not re.fullmatch(rf"[¤ ]*-?[¤ ]*{number}[¤ ]*", text, re.ASCII):
            other = "without" if self._form.decimal_comma else "with"
            raise NotUnderstood(f"{name} is not a decimal number, perhaps it is {other} --decimal-comma")
        text = text.replace("¤", "").replace(" ", "")
        went_back = name in ("amount", "refunded")
        if went_back and text.startswith("-") != self._form.negative and text.strip("-0.,"):
            said = "is not negative, as --negative says" if self._form.negative else "is negative: --negative allows it"
            raise NotUnderstood(f"{name} {said}")
        text = text.removeprefix("-") if went_back else text
        return text.replace(".", "").replace(",", ".") if self._form.decimal_comma else text.replace(",", "")

    def _time(self, name: str) -> str:
        """As RFC 3339; a day without a time is its beginning."""
        return to_rfc3339(self._moment(name)[0])

    def _end(self, name: str) -> str:
        """As RFC 3339; a day without a time is its end."""
        return to_rfc3339(self._moment(name)[1])

    def _moment(self, name: str) -> tuple[Instant, Instant]:
        """When it was, from and to: two moments where only the day is told."""
        text, form = self._cells[name], self._form.date_format
        try:
            moment = datetime.strptime(text, form) if form else datetime.fromisoformat(text)  # noqa: DTZ007 - see below
        except ValueError:
            raise NotUnderstood(f"{name} is not a time as {form or '2026-11-20 or 2026-11-20T10:00:00Z'}") from None
        moment = moment.replace(tzinfo=self._form.zone) if moment.tzinfo is None else moment
        whole_day = not _HOUR.search(form) if form else len(text) <= 10
        try:
            at = end = from_rfc3339(moment.isoformat())
            if whole_day:  # by the clock on the wall: the day in which it is put forward has 23 hours
                end = from_rfc3339((moment + timedelta(days=1)).isoformat()) - 1
        except (ValueError, OverflowError):
            raise NotUnderstood(f"{name} is out of range") from None
        if at > self._now:
            raise NotUnderstood(f"{name} is later than now: is it the right --date-format?")
        return at, end


def _sign_or_blank(character: str) -> str:
    """Any currency's sign as one, and any blank as one."""
    return "¤" if unicodedata.category(character) == "Sc" else " " if character.isspace() else character


def _check_status(cells: Mapping[str, str], facts: list[Fact]) -> None:
    """A status of a payment that is not known would count as not told, and the refund in it be lost."""
    if "payment_status" in cells and any(isinstance(f, OrderFact) and f.payment_status is None for f in facts):
        known = STOREFRONT_FIELDS["payment_status"]
        raise NotUnderstood(f"payment_status is none of {known}: say with --value what the report's word means")


def _imported(source: str, told: dict[str, Any], received_at: Instant) -> list[Fact]:
    currency = currency_of(told.get("currency"))
    amount = from_decimal(told.get("amount"), currency)
    id_, kind, status = own_identifier(told.get("id"), "id"), told.get("kind"), told.get("status")
    at, as_of = (min(from_rfc3339(told.get(name)), received_at) for name in ("at", "as_of"))
    paid = tuple(identifier(value, "payment") for value in told.get("payment_ids", ()))
    if amount < 0 or kind not in KINDS or status not in _STATUSES:
        raise NotUnderstood("amount, kind or status is none that an import writes")
    if kind in ("refund", "void"):
        orders = tuple(text for value in told.get("order_refs", ()) if (text := clean(value)))
        return [RefundFact(source, id_, kind, status, amount, currency, at, as_of, paid, orders)]
    direction: Literal["withdrawn", "reinstated"] = "withdrawn" if kind == "chargeback" else "reinstated"
    # A chargeback that did not succeed moved nothing.
    return [DisputeFact(source, id_, "", direction, amount, currency, at, paid)] if status == "succeeded" else []
