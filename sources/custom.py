"""Any other gateway, by configuration alone: how it signs, where in its JSON everything stands, what its words mean.

Nothing here knows a gateway. What the settings do not name is never guessed: a type that is not listed is ignored and
counted; a status that is not listed, an amount, currency or id that is not where it should be, sets the event aside.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from config.values import Secret, lines
from ledger.facts import DisputeFact, Fact, RefundFact, RefundStatus
from ledger.instants import Instant, from_rfc3339, from_unix
from ledger.money import currency_of, decimals_of, from_decimal, from_minor
from sources.amounts import Decimals
from sources.base import Delivery, Event, GatewaySettings, Message, NotUnderstood, Source
from sources.custom_signature import Signature, StandardWebhooks
from sources.parsing import (
    JsonObject,
    array_items,
    array_member,
    as_object,
    body_key,
    clean,
    identifier,
    is_array,
    is_placeholder,
    json_object,
    own_identifier,
    texts,
)

KINDS = ("refund", "void", "chargeback", "chargeback_reversed")
Kind = Literal["refund", "void", "chargeback", "chargeback_reversed"]
Status = Literal["pending", "succeeded", "failed", "canceled", "ignored"]

M = TypeVar("M", bound=str)


def _path(path: str) -> str:
    if not re.fullmatch(r"[^.\s]{1,100}(\.[^.\s]{1,100}){0,9}", path):
        raise ValueError('write the names on the way to it, separated by points, as "data.refund.id"')
    return path


def _member(name: str) -> str:
    if "." in name:
        raise ValueError('write the name of a member of the body itself, as "events"')
    return _path(name)


Path = Annotated[str, AfterValidator(_path)]
Paths = Annotated[tuple[Path, ...], BeforeValidator(lines), Field(min_length=1)]


class _Place(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True)


class Table(_Place, Generic[M]):
    """Where a word stands, and what the gateway's words mean in ours."""

    path: Paths
    """Several: the words that are there are joined with points."""
    values: Annotated[dict[str, M], Field(min_length=1)]


class Amount(_Place):
    """Where the amount stands, and how it is written."""

    path: Path
    form: Literal["minor", "decimal"]
    """`minor`: whole cents, pence or yen. `decimal`: pounds and pence, as 12.50."""


class Currency(_Place):
    """Where the currency stands, or which one it always is."""

    path: Path | None = None
    fixed: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "Currency":
        if (self.path is None) == (self.fixed is None):
            raise ValueError('write either { path = "…" } or { fixed = "USD" }')
        return self


class Time(_Place):
    """Where the time stands, and how it is written."""

    path: Path
    form: Literal["rfc3339", "seconds", "milliseconds"] = "rfc3339"


class CustomSettings(GatewaySettings):
    """The keys of a custom source."""

    kind: Literal["custom"]
    signature: Signature = Field(description='say how it signs, as { scheme = "hmac", header = "X-Signature" }')
    webhook_secrets: Annotated[tuple[Secret, ...], BeforeValidator(lines)] = Field(
        min_length=1, description="add the secret, token or password with which the gateway proves itself"
    )
    items: Annotated[str, AfterValidator(_member)] | None = None
    """The member of the body that holds a list of events. A body that is a list needs none."""
    event_id: Path | None = None
    """None: with Standard Webhooks its `webhook-id`, else the hash of the content."""
    type: Table[Kind]
    status: Table[Status] | None = None
    """None: everything that is told has succeeded."""
    refund_id: Path
    """Of a chargeback: the id of the dispute."""
    payment_id: Annotated[tuple[Path, ...], BeforeValidator(lines)] = ()
    order_keys: Annotated[tuple[Path, ...], BeforeValidator(lines)] = ()
    """Where the order's number stands."""
    amount: Amount
    currency: Currency
    currency_decimals: Decimals = Field(default_factory=dict)
    time: Time | None = None
    """None: the time of arrival."""

    @field_validator("webhook_secrets")
    @classmethod
    def _fit_the_signature(cls, secrets: tuple[Secret, ...], info: ValidationInfo) -> tuple[Secret, ...]:
        if "signature" in info.data:  # a wrong one has its own line
            info.data["signature"].verifier(secrets)
        return secrets

    @field_validator("currency_decimals")
    @classmethod
    def _of_minor_units(cls, decimals: Decimals, info: ValidationInfo) -> Decimals:
        if decimals and "amount" in info.data and info.data["amount"].form == "decimal":
            raise ValueError('counts minor units, and amount.form is "decimal": leave it out')
        return decimals


class Custom(Source[CustomSettings]):
    """An account at a gateway that is described by its settings."""

    kind = "custom"
    role = "gateway"
    settings_model = CustomSettings
    used_events = KINDS
    kept_headers = ()  # any of them may hold the secret itself

    def __init__(self, name: str, settings: CustomSettings) -> None:
        super().__init__(name, settings)
        self._proves = settings.signature.verifier(settings.webhook_secrets)

    def authentic(self, delivery: Delivery) -> bool:
        """Whether the sender proved itself in the way that was chosen."""
        return self._proves(delivery)

    def messages(self, delivery: Delivery) -> list[Message]:
        """One message for each item of a list, or the one that the body is."""
        body, items = delivery.body, self.settings.items
        try:
            if is_array(body) or items:
                listed = array_items(body) if is_array(body) else array_member(body, items or "")[0]
                return [self._message(raw, value) for raw, value in listed]
            return [self._message(body, json_object(body), self._delivery_id(delivery.headers))]
        except NotUnderstood:
            return [Message(body_key(body), "", body, "malformed")]

    def interpret(self, event: Event) -> list[Fact]:
        """The fact in an event."""
        told = json_object(event.body)
        self._own_id(told)
        try:
            return _Reading(self.name, self.settings, told, event.received_at).facts()
        except ValueError as error:
            raise NotUnderstood(str(error)) from None

    def _message(self, raw: bytes, value: object, delivery_id: str | None = None) -> Message:
        try:
            event = as_object(value, "the item")
            word = _word(event, self.settings.type, "type")
            key = self._own_id(event) or delivery_id or body_key(raw)
        except NotUnderstood:
            return Message(body_key(raw), "", raw, "malformed")
        return Message(key, word, raw, "used" if self._is_used(event, word) else "ignored")

    def _own_id(self, event: JsonObject) -> str | None:
        """The event's id; None where the settings do not say where it stands."""
        path = self.settings.event_id
        return own_identifier(_at(event, path), f"the event's id at {path}") if path else None

    def _is_used(self, event: JsonObject, word: str) -> bool:
        if word not in self.settings.type.values:
            return False
        table = self.settings.status
        return table is None or table.values.get(_joined(event, table)) != "ignored"

    def _delivery_id(self, headers: Mapping[str, str]) -> str | None:
        """The id that Standard Webhooks signs, the same when a delivery is repeated."""
        if not isinstance(self.settings.signature, StandardWebhooks):
            return None
        return identifier(headers["webhook-id"], "webhook-id") if "webhook-id" in headers else None


class _Reading:
    """One event being read."""

    def __init__(self, source: str, settings: CustomSettings, event: JsonObject, received_at: Instant) -> None:
        self._source = source
        self._settings = settings
        self._event = event
        self._received_at = received_at

    def facts(self) -> list[Fact]:
        """The refund, the void, or the movement of a dispute. A chargeback that did not succeed moved nothing."""
        kind = _meaning(self._event, self._settings.type, "type")
        status = _meaning(self._event, self._settings.status, "status") if self._settings.status else "succeeded"
        if status == "ignored":
            return []
        if kind in ("refund", "void"):
            return [self._refund(kind, status)]
        return [self._movement(kind)] if status == "succeeded" else []

    def _refund(self, kind: Literal["refund", "void"], status: RefundStatus) -> RefundFact:
        amount, currency = self._money()
        at = self._time()
        paid, orders = self._payment_ids(), self._order_refs()
        return RefundFact(self._source, self._id(), kind, status, amount, currency, at, at, paid, orders)

    def _movement(self, kind: Kind) -> DisputeFact:
        amount, currency = self._money()
        direction: Literal["withdrawn", "reinstated"] = "withdrawn" if kind == "chargeback" else "reinstated"
        paid = self._payment_ids()
        return DisputeFact(self._source, self._id(), "", direction, amount, currency, self._time(), paid)

    def _id(self) -> str:
        return own_identifier(_at(self._event, self._settings.refund_id), f"the id at {self._settings.refund_id}")

    def _money(self) -> tuple[int, str]:
        place = self._settings.currency
        currency = currency_of(place.fixed or _at(self._event, place.path or ""))
        told = _at(self._event, self._settings.amount.path)
        if self._settings.amount.form == "decimal":
            amount = from_decimal(told, currency)
        else:
            if isinstance(told, str) and re.fullmatch(r"-?[0-9]{1,20}", told, re.ASCII):
                told = int(told)
            decimals = self._settings.currency_decimals.get(currency, decimals_of(currency))
            amount = from_minor(told, currency, decimals)
        if amount < 0:
            raise NotUnderstood("amount is negative")
        return amount, currency

    def _time(self) -> Instant:
        """Never later than the arrival."""
        place = self._settings.time
        if place is None:
            return self._received_at
        told = _at(self._event, place.path)
        if place.form == "rfc3339":
            at = from_rfc3339(told)
        else:
            if isinstance(told, str) and re.fullmatch(r"[0-9]{1,16}", told, re.ASCII):
                told = int(told)
            at = from_unix(told) if place.form == "seconds" else _from_milliseconds(told)
        return min(at, self._received_at)

    def _payment_ids(self) -> tuple[str, ...]:
        told = ((path, _at(self._event, path)) for path in self._settings.payment_id)
        ids = [identifier(value, f"the id at {path}") for path, value in told if value not in (None, "")]
        return tuple(dict.fromkeys(i for i in ids if not is_placeholder(i)))

    def _order_refs(self) -> tuple[str, ...]:
        return texts(_at(self._event, path) for path in self._settings.order_keys)


def _at(value: Any, path: str) -> Any:  # noqa: ANN401 - whatever stands there
    """What stands at the path; None where nothing does. A number leads into a list."""
    for name in path.split("."):
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and re.fullmatch(r"[0-9]{1,4}", name, re.ASCII) and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def _joined(event: JsonObject, table: Table[Any]) -> str:
    """The words at the table's paths, joined with points; those that are not there are left out."""
    told = [_at(event, path) for path in table.path]
    texts = (str(value).lower() if isinstance(value, bool) else clean(value) for value in told)
    return ".".join(text for text in texts if text)


def _word(event: JsonObject, table: Table[Any], name: str) -> str:
    word = _joined(event, table)
    if not word:
        raise NotUnderstood(f"there is no {name} at {' and '.join(table.path)}")
    return word


def _meaning(event: JsonObject, table: Table[M], name: str) -> M:
    """What the word at that place means."""
    word = _word(event, table, name)
    if word not in table.values:
        raise NotUnderstood(f"the {name} at {' and '.join(table.path)} is none of those in {name}.values")
    return table.values[word]


def _from_milliseconds(told: object) -> Instant:
    if isinstance(told, bool) or not isinstance(told, int):
        raise NotUnderstood("time is not a number of milliseconds since 1970")
    return from_unix(told // 1000) + told % 1000 * 1000
