"""An entry: one line of the refund ledger, and the members it is made of."""

from typing import Literal, get_args

from msgspec import Struct
from msgspec.json import Decoder, Encoder

from ledger.instants import Instant

Status = Literal["pending", "matched", "unmatched", "closed", "resolved"]
Reason = Literal[
    "missing_in_storefront",
    "missing_in_gateway",
    "refund_failed",
    "amount_mismatch",
    "currency_mismatch",
    "cancelled_not_refunded",
    "over_refunded",
    "order_unknown",
    "order_ambiguous",
]
STATUSES: tuple[Status, ...] = get_args(Status)
REASONS: tuple[Reason, ...] = get_args(Reason)
OPEN: tuple[Status, ...] = ("unmatched", "pending")
"""Nobody and nothing has closed it."""


class GatewayRefund(Struct, frozen=True, gc=False):
    """What a gateway says about money going back, all its facts folded."""

    source: str
    id: str
    kind: Literal["refund", "void", "chargeback"]
    status: Literal["pending", "succeeded", "failed", "canceled", "reversed"]
    """`reversed`: a chargeback whose money was given back in full."""
    amount: int
    currency: str
    at: Instant

    @property
    def returned(self) -> int:
        """Money that has gone back."""
        return self.amount if self.status == "succeeded" else 0


class StorefrontRefund(Struct, frozen=True, gc=False):
    """A rise of the order's refunded total."""

    id: str
    amount: int | None
    """What is left of it after falls of the total; None where the storefront told only a status."""
    currency: str
    at: Instant
    verified: bool
    """Whether the storefront told an amount."""


class Suggestion(Struct, frozen=True, gc=False):
    """An order that an entry might belong to. Shown to people; never decides."""

    store: str
    order_id: str
    reason: str


class Resolution(Struct, frozen=True, gc=False):
    """Who closed an entry, why, when."""

    actor: str
    reason: str
    at: Instant


class Entry(Struct, frozen=True, gc=False):
    """One line of the refund ledger. Amounts are ISO minor units of `currency`; None is unknown or absent.

    `storefront_amount` is of `storefront_currency`.
    """

    id: str
    store: str | None
    order_id: str | None
    status: Status
    reason: Reason | None
    verified: bool
    currency: str
    gateway_amount: int | None
    storefront_amount: int | None
    expected_amount: int | None
    """cancelled_not_refunded: what has to go back."""
    gateway_refunds: tuple[GatewayRefund, ...]
    storefront_refunds: tuple[StorefrontRefund, ...]
    opened_at: Instant
    matched_at: Instant | None
    explanation: str
    suggestions: tuple[Suggestion, ...]
    due_at: Instant | None
    """When the passing of time alone will change it."""
    home: int
    """The reference under which it is filed: its order's, else its gateway refund's."""
    anchor: tuple[str, ...]
    """The member that names it: ("refund", source, id), ("recorded", store, order, id), ("cancelled", store, order)."""
    fingerprint: str
    """Changes with the reason (as it will be after the grace period), members, amounts and currency only."""
    decisions: tuple[str, ...] = ()
    """The decisions that concern it, in order."""
    resolution: Resolution | None = None
    assigned_to: str | None = None
    snoozed_until: Instant | None = None
    unconfigured: str | None = None
    """The payment method that the order names and that no source is configured for: nobody can tell whether the
    money went back."""

    @property
    def source(self) -> str:
        """The gateway, or the store where no gateway refund is known."""
        return self.gateway_refunds[0].source if self.gateway_refunds else (self.store or "")

    @property
    def storefront_currency(self) -> str:
        """Another than `currency` where both sides are known and differ in it."""
        return self.storefront_refunds[0].currency if self.storefront_refunds else self.currency

    @property
    def is_open(self) -> bool:
        """Whether it waits for something, or for somebody."""
        return self.status in OPEN

    @property
    def difference(self) -> int | None:
        """Gateway minus storefront; None where a side is missing or the currencies differ."""
        if self.gateway_amount is None or self.storefront_amount is None or not self._one_currency:
            return None
        return self.gateway_amount - self.storefront_amount

    @property
    def _one_currency(self) -> bool:
        return len({r.currency for r in self.gateway_refunds} | {r.currency for r in self.storefront_refunds}) == 1

    @property
    def lag(self) -> Instant | None:
        """Microseconds between the earliest and the latest member of a matched entry."""
        return None if self.matched_at is None else self.matched_at - self.opened_at

    @property
    def first_side(self) -> Literal["gateway", "storefront"]:
        """The side that moved first."""
        gateway = min((r.at for r in self.gateway_refunds), default=None)
        storefront = min((r.at for r in self.storefront_refunds), default=None)
        if gateway is None or (storefront is not None and storefront < gateway):
            return "storefront"
        return "gateway"

    @property
    def amount_at_stake(self) -> int | None:
        """The money an unmatched entry is about, or one that nobody can judge; None where it is not known."""
        if self.unconfigured:
            return self.storefront_amount
        if self.status in ("matched", "closed"):
            return 0  # also where the storefront told no amount, or what was cancelled no longer is
        if self.expected_amount is not None:
            return self.expected_amount
        if self.difference is not None:
            return abs(self.difference)
        if self.gateway_refunds:
            # What a failed one did not move was recorded in another currency.
            return self.gateway_amount or None
        return self.storefront_amount


_ENCODER = Encoder()
_DECODER = Decoder(Entry)


def encode_entry(entry: Entry) -> str:
    """The entry as compact JSON, the same for equal entries."""
    return _ENCODER.encode(entry).decode()


def decode_entry(text: str) -> Entry:
    """The entry that `encode_entry` wrote."""
    return _DECODER.decode(text)
