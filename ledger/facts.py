"""What events say, extracted once. Everything behind the journal is a fold over a set of these.

A fact never changes and a set has no order, so late, doubled and shuffled events cannot matter: whatever is derived
sorts the set by the sources' own clocks first. Amounts are ISO minor units, times are instants (microseconds, UTC).
"""

from functools import lru_cache
from hashlib import blake2b
from typing import Literal, TypeAlias
from zlib import crc32

from msgspec import Struct
from msgspec.json import Decoder, Encoder

from ledger.instants import Instant

RefundKind = Literal["refund", "void"]
RefundStatus = Literal["pending", "succeeded", "failed", "canceled"]
PaymentStatus = Literal["pending", "authorized", "paid", "partially_refunded", "refunded", "voided"]
Origin = Literal["event", "read", "document"]
Action = Literal["resolve", "reopen", "link", "unlink", "snooze", "assign", "note"]


class _Fact(Struct, frozen=True, array_like=True, gc=False):
    """Written as an array. It holds only texts and numbers, so it is in no cycle and the collector may pass it by."""


class PaymentFact(_Fact, frozen=True, tag="payment"):
    """A gateway tells of a payment. `ids` are aliases of each other, as a payment intent and its charge."""

    source: str
    ids: tuple[str, ...]
    as_of: Instant
    currency: str | None = None
    authorised: int | None = None
    captured: int | None = None
    """Taken from the customer so far; 0 for an authorisation, None where the event does not tell."""
    voided: bool = False
    """What had not been captured was released."""
    order_refs: tuple[str, ...] = ()
    """What the gateway's data says about the order: an order number, or the opening of its GUID."""
    released_rest: int = 0
    """Of an authorisation that was captured in part, what was released then and is told as a refund as well."""


class RefundFact(_Fact, frozen=True, tag="refund"):
    """A gateway tells of one refund, or of the void of a captured payment that had not settled yet."""

    source: str
    id: str
    kind: RefundKind
    status: RefundStatus
    amount: int
    currency: str
    at: Instant
    """When it was made, by the gateway's clock."""
    as_of: Instant
    """When the status was so, by the gateway's clock: the newer of two wins."""
    payment_ids: tuple[str, ...] = ()
    order_refs: tuple[str, ...] = ()


class DisputeFact(_Fact, frozen=True, tag="dispute"):
    """One movement of money in a dispute: taken (`withdrawn`) or given back (`reinstated`). Inquiries have none."""

    source: str
    dispute_id: str
    movement_id: str
    """The gateway's id of the movement; empty where it tells none, and then it counts only if no other
    movement of the dispute goes in its direction."""
    direction: Literal["withdrawn", "reinstated"]
    amount: int
    """Positive, in the currency of the charge."""
    currency: str
    at: Instant
    payment_ids: tuple[str, ...] = ()


class OrderFact(_Fact, frozen=True, tag="order"):
    """A snapshot of an order as a storefront told it. None: not told."""

    store: str
    order_id: str
    origin: Origin
    """`event`: told with its own time. `read`: asked at `as_of`. `document`: sent when the order was placed."""
    as_of: Instant
    arrived_at: Instant
    digest: str
    """Of the canonical content: settles a tie in time the same way everywhere."""
    currency: str | None = None
    total: int | None = None
    refunded: int | None = None
    """Total recorded as refunded so far."""
    payment_status: PaymentStatus | None = None
    cancelled: bool | None = None
    transactions: tuple[str, ...] = ()
    """The gateway's payment ids that the order names, each as the gateway writes it."""
    method: str | None = None
    """The storefront's name of the payment method."""
    order_refs: tuple[str, ...] = ()
    """Texts that a gateway may carry for this order: its number, the first 20 characters of its GUID."""
    placed_at: Instant | None = None


class Decision(_Fact, frozen=True, tag="decision"):
    """What an operator decided about one entry."""

    id: str
    action: Action
    at: Instant
    actor: str
    text: str
    """The reason, the note, or to whom it is assigned."""
    entry_id: str
    anchor: tuple[str, ...]
    """The member that named the entry then: it leads to the entry that has it now."""
    refunds: tuple[str, ...] = ()
    """link, unlink: the entry's gateway refunds, each as "source/id"."""
    fingerprint: str = ""
    """resolve: what was seen; the entry reopens when this no longer fits."""
    store: str = ""
    order_id: str = ""
    until: Instant | None = None
    """snooze."""


Fact: TypeAlias = PaymentFact | RefundFact | DisputeFact | OrderFact | Decision

_ENCODER = Encoder()
_DECODER: Decoder[Fact] = Decoder(Fact)


def encode(fact: Fact) -> str:
    """The fact as compact JSON, the same for equal facts: its tag and its values."""
    return _ENCODER.encode(fact).decode()


def decode(text: str) -> Fact:
    """The fact that `encode` wrote; one written before a field was added gets the field's default."""
    return _DECODER.decode(text)


# References -------------------------------------------------------------------------------------------------------
#
# Facts belong together where they share a reference. A reference is 64 bits: small to index, and the key of the lock
# that keeps two workers apart. A collision only makes two strangers wait for each other; what pairs is decided on the
# texts themselves.
#
# An order number in a gateway's data leads to the order and not to the other refunds that carry the same text, or one
# "n/a" typed as the order number would chain all of them together. So the two sides have references of their own:
# an order is found at `order-text` and looks at `mention`; a refund is found at `mention` and looks at `order-text`.


_BEGINNING = 7
"""Characters of a name that are taken as its beginning: in Stripe's ids an hour."""
_COUNTED = 3
"""Characters at its end that never belong to the beginning: of numbers that are counted, a thousand begin alike."""

_remembered = lru_cache(maxsize=16_384)  # the facts of one order name the same few again and again


def reference(kind: str, *names: str) -> int:
    """A signed 64-bit reference: 24 bits that all names have in common which begin alike, and 40 of a hash.

    Most outside systems count, or begin their ids with the time (Stripe's: bench/events.py). So what was named at
    nearly the same time stands together in an index, and an event touches few pages of it.
    """
    told = "\0".join((kind, *names)).encode(errors="surrogatepass")  # what was asked for may be no text at all
    own = max(len(names[-1]) - _BEGINNING, _COUNTED)
    return int.from_bytes((crc32(told[:-own]) >> 8).to_bytes(3) + blake2b(told, digest_size=5).digest(), signed=True)


@_remembered
def payment_ref(payment_id: str) -> int:
    """Of a payment id, whoever names it: an order does not know which gateway it belongs to."""
    return reference("payment", payment_id)


@_remembered
def refund_ref(source: str, refund_id: str) -> int:
    """Of a gateway refund."""
    return reference("refund", source, refund_id)


@_remembered
def order_ref(store: str, order_id: str) -> int:
    """Of an order."""
    return reference("order", store, order_id)


def found_at(fact: Fact) -> tuple[int, ...]:
    """The references under which the fact is stored; the first is its own."""
    match fact:
        case PaymentFact():
            return (*map(payment_ref, fact.ids), *_mentions(fact.order_refs))
        case RefundFact():
            own = refund_ref(fact.source, fact.id)
            return (own, *map(payment_ref, fact.payment_ids), *_mentions(fact.order_refs))
        case DisputeFact():
            return (refund_ref(fact.source, fact.dispute_id), *map(payment_ref, fact.payment_ids))
        case OrderFact():
            return (order_ref(fact.store, fact.order_id), *map(payment_ref, fact.transactions),
                    *_order_texts(fact.order_refs))  # fmt: skip
        case _:
            return _decided(fact)


def leads_to(fact: Fact) -> tuple[int, ...]:
    """The references at which the facts are found that belong with this one."""
    match fact:
        case PaymentFact():
            return (*map(payment_ref, fact.ids), *_order_texts(fact.order_refs))
        case RefundFact():
            own = refund_ref(fact.source, fact.id)
            return (own, *map(payment_ref, fact.payment_ids), *_order_texts(fact.order_refs))
        case OrderFact():
            return (order_ref(fact.store, fact.order_id), *map(payment_ref, fact.transactions),
                    *_mentions(fact.order_refs))  # fmt: skip
        case _:
            return found_at(fact)


@_remembered
def _mentions(texts: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(reference("mention", text) for text in texts)


@_remembered
def _order_texts(texts: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(reference("order-text", text) for text in texts)


def _decided(fact: Decision) -> tuple[int, ...]:
    kind, *names = fact.anchor
    refs = [refund_ref(*names) if kind == "refund" else order_ref(names[0], names[1])]
    refs += [refund_ref(*name.split("/", 1)) for name in fact.refunds]
    if fact.order_id:
        refs.append(order_ref(fact.store, fact.order_id))
    return tuple(dict.fromkeys(refs))
