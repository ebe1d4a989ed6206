"""The storefront's side: an order from its snapshots, and the refunds recorded on it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b

from msgspec import Struct
from msgspec.structs import replace

from ledger.entries import StorefrontRefund
from ledger.facts import OrderFact
from ledger.instants import Instant
from ledger.policy import Policy, Store

_PROGRESS = {"pending": 0, "authorized": 1, "paid": 2, "partially_refunded": 3, "refunded": 4, "voided": 4}


class Order(Struct, frozen=True, gc=False):
    """An order as last known, and the way there. Amounts are ISO minor units."""

    store: str
    order_id: str
    currency: str | None
    total: int | None
    payment_status: str | None
    was_paid: bool
    """It is or was Paid, PartiallyRefunded or Refunded: money was taken for it."""
    cancelled: bool
    cancelled_at: Instant | None
    """The first snapshot that said so since it was last anything else; None where none ever did."""
    cancellations: int
    """How many times it became so."""
    transactions: tuple[str, ...]
    order_refs: tuple[str, ...]
    method: str | None
    placed_at: Instant | None
    timeline: tuple[OrderFact, ...]
    """The snapshots, oldest first, each at the time for which it counts."""


def fold_order(facts: Iterable[OrderFact], policy: Policy) -> Order:
    """The order that these snapshots tell of; they are all of one order."""
    facts = list(facts)
    first = facts[0]
    timeline = _timeline(facts, policy.stores.get(first.store, Store()))
    told = list(reversed(timeline))
    cancelled, cancelled_at, cancellations = _cancelled(timeline)
    return Order(
        first.store,
        first.order_id,
        currency=next((f.currency for f in told if f.currency), None),
        total=next((f.total for f in told if f.total is not None), None),
        payment_status=next((f.payment_status for f in told if f.payment_status), None),
        was_paid=any(f.payment_status in ("paid", "partially_refunded", "refunded") for f in timeline),
        cancelled=cancelled,
        cancelled_at=cancelled_at,
        cancellations=cancellations,
        transactions=_all(f.transactions for f in timeline),
        order_refs=_all(f.order_refs for f in timeline),
        method=next((f.method for f in told if f.method), None),
        placed_at=next((f.placed_at for f in told if f.placed_at is not None), None),
        timeline=tuple(timeline),
    )


def storefront_refunds(order: Order, captured: int | None) -> list[StorefrontRefund]:
    """The rises of the refunded total, oldest first. One that was taken back whole stays, with amount 0.

    `captured` is what `Voided` returned, and `Refunded` where no snapshot tells the order's total. A rise to a total
    that the storefront did not tell has amount None.
    """
    book = _Book(order)
    status: str | None = None
    total = next((snapshot.total for snapshot in order.timeline if snapshot.total is not None), captured)
    for snapshot in order.timeline:
        total = snapshot.total if snapshot.total is not None else total
        changed = snapshot.payment_status is not None and snapshot.payment_status != status
        status = snapshot.payment_status or status
        # A void is no refund: the storefront's sum of refunds stays 0, and says nothing of what the void returned.
        if snapshot.refunded is not None and not (status == "voided" and snapshot.refunded == 0):
            book.reach(snapshot.refunded, snapshot.as_of, verified=True)
        elif not changed or (status == "voided" and captured is None):
            continue
        elif status == "partially_refunded" or (status == "refunded" and total is None):
            book.lose_sight(snapshot.as_of, below=total)
        else:
            implied = {"refunded": total, "voided": captured}.get(str(status)) or 0
            book.reach(implied, snapshot.as_of, verified=False)
    return book.refunds


class _Book:
    """The refunded total as it rises and falls."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.refunds: list[StorefrontRefund] = []
        self.total = 0
        self.times: Counter[int | None] = Counter()
        self.unknown: int | None = None  # where among the refunds the one of unknown amount stands

    def reach(self, total: int, at: Instant, *, verified: bool) -> None:
        """The total is now `total`."""
        if self.unknown is not None:
            self._settle_unknown(total)
        if total > self.total:
            self._record(total, total - self.total, at, verified=verified)
        elif total < self.total:
            self._take_back(self.total - total)
        if verified and not all(r.verified for r in self.refunds):
            self.refunds = [replace(r, verified=True) for r in self.refunds]
        self.total = total

    def lose_sight(self, at: Instant, below: int | None) -> None:
        """Something was refunded, and the storefront does not say how much: less than `below`."""
        if below is not None and self.total >= below:
            self.reach(0, at, verified=False)  # the whole does not stand any more, and what does is not known
        if self.unknown is None:
            self.unknown = len(self.refunds)
            self._record(None, None, at, verified=False)

    def _settle_unknown(self, total: int) -> None:
        """An amount is told at last: the rise stands in for the refund of unknown amount, if it was one."""
        assert self.unknown is not None
        if total > self.total:
            del self.refunds[self.unknown]
        else:
            self.refunds[self.unknown] = replace(self.refunds[self.unknown], amount=0)
        self.unknown = None

    def _record(self, total: int | None, amount: int | None, at: Instant, *, verified: bool) -> None:
        self.times[total] += 1
        name = (self.order.store, self.order.order_id, str(total), str(self.times[total]))
        self.refunds.append(
            StorefrontRefund(
                blake2b("\0".join(name).encode(), digest_size=12).hexdigest(),
                amount,
                self.order.currency or "",
                at,
                verified,
            )
        )

    def _take_back(self, amount: int) -> None:
        for i in range(len(self.refunds) - 1, -1, -1):
            left = self.refunds[i].amount or 0
            part = min(left, amount)
            self.refunds[i] = replace(self.refunds[i], amount=left - part)
            amount -= part


def _timeline(facts: Sequence[OrderFact], store: Store) -> list[OrderFact]:
    """The snapshots in order of the time for which each counts, ties by digest."""
    snapshots: dict[tuple[Instant, str], OrderFact] = {}
    documents: dict[str, OrderFact] = {}
    for fact in sorted(facts, key=lambda f: (f.arrived_at, f.digest, f.origin)):
        # What comes again says nothing that the first did not.
        if fact.origin == "document":
            documents.setdefault(fact.digest, fact)
        else:
            snapshots.setdefault((fact.as_of, fact.digest), fact)
    # A clock that runs ahead must not make a snapshot outlast what is told after it arrived.
    timeline = [replace(f, as_of=f.arrived_at) if f.as_of > f.arrived_at else f for f in snapshots.values()]
    timeline.sort(key=_moment)
    for document in documents.values():
        timeline.append(_placed(document, timeline, store))
        timeline.sort(key=_moment)
    return timeline


def _placed(document: OrderFact, timeline: list[OrderFact], store: Store) -> OrderFact:
    """An order document at the time for which it counts.

    It is sent when the order is placed and retried for as long as it takes, so what it says of the status may be
    long out of date when it arrives. It counts at placement, and can then neither erase a refund nor invent one.
    Only where it goes beyond what is known, and nobody can be asked, does it count when it arrived.
    """
    before = [f for f in timeline if f.as_of <= document.arrived_at]
    progress = _progress(document.payment_status)
    further = progress > _progress_of(before)
    # Before all else that is known: the date of the order may be missing, or in a form that cannot be read.
    earliest = min((f.as_of - 1 for f in before), default=document.arrived_at)
    placed = replace(document, as_of=min(document.as_of, document.arrived_at, earliest))
    as_placed = progress <= _PROGRESS["paid"] and not document.cancelled and not document.refunded
    if as_placed and (store.has_api or not further or not before):
        return placed
    if store.has_api or not (further or document.cancelled):
        return replace(placed, payment_status=None, cancelled=None, refunded=None)
    return replace(
        document,
        as_of=document.arrived_at,
        payment_status=document.payment_status if further else None,
        refunded=document.refunded if further else None,
        cancelled=document.cancelled or None,
    )


def _progress_of(timeline: Sequence[OrderFact]) -> int:
    """How far the order is, also where its status has a name that says nothing."""
    status = next((f.payment_status for f in reversed(timeline) if f.payment_status), None)
    refunded = next((f.refunded for f in reversed(timeline) if f.refunded is not None), 0)
    return max(_progress(status), _progress("partially_refunded") if refunded else -1)


def _progress(status: str | None) -> int:
    return _PROGRESS[status] if status else -1


def _moment(fact: OrderFact) -> tuple[Instant, str]:
    return fact.as_of, fact.digest


def _cancelled(timeline: list[OrderFact]) -> tuple[bool, Instant | None, int]:
    """Whether it is, since when, and how many times it became so."""
    cancelled, since, times = False, None, 0
    for snapshot in timeline:
        if snapshot.cancelled and not cancelled:
            since, times = snapshot.as_of, times + 1
        cancelled = cancelled if snapshot.cancelled is None else snapshot.cancelled
    return cancelled, since, times


def _all(texts: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted({text for group in texts for text in group}))
