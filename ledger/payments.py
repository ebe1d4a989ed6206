"""The gateway's side: payments under all their ids, and what went back of them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec import Struct

from ledger.entries import GatewayRefund
from ledger.facts import DisputeFact, Fact, PaymentFact, RefundFact, encode
from ledger.groups import Groups
from ledger.instants import DAY, Instant

PaymentKey = tuple[str, str]
"""Source and one of the payment's ids."""

# In one and the same second the later state of a refund wins: it starts pending, and a failure is final.
_STATUS_RANK = {"pending": 0, "succeeded": 1, "canceled": 2, "failed": 3}


class Payment(Struct, frozen=True, gc=False):
    """A gateway's payment, all its facts folded. Amounts are ISO minor units."""

    source: str
    ids: tuple[str, ...]
    currency: str | None = None
    captured: int | None = None
    """None where no event told: then the order's total may stand in."""
    released: bool = False
    """What had not been captured was given free."""
    order_refs: tuple[str, ...] = ()
    released_rest: int = 0
    """See PaymentFact."""


class Captured(Struct, frozen=True, gc=False):
    """What was taken for an order, which may be in another currency than the order's."""

    amount: int
    currency: str | None


class Returned(Struct, frozen=True, gc=False):
    """A gateway refund with what is known of its payment and order."""

    refund: GatewayRefund
    payment: Payment | None
    order_refs: tuple[str, ...] = ()
    """The refund's own; its payment may have others."""
    failed_at: Instant | None = None
    """When it was first told to have failed, or to be canceled."""


def fold_gateway(facts: Iterable[Fact]) -> tuple[list[Payment], list[Returned]]:
    """Every payment, and everything that went back or tries to, each in a fixed order."""
    payments: list[PaymentFact] = []
    refunds: defaultdict[PaymentKey, list[RefundFact]] = defaultdict(list)
    disputes: defaultdict[PaymentKey, list[DisputeFact]] = defaultdict(list)
    for fact in facts:
        match fact:
            case PaymentFact() if fact.ids:
                payments.append(fact)
            case RefundFact():
                refunds[fact.source, fact.id].append(fact)
            case DisputeFact():
                disputes[fact.source, fact.dispute_id].append(fact)
            case _:
                pass
    known = _fold_payments(payments, [*refunds.values(), *disputes.values()])
    returned = [_fold_refund(group, known) for group in refunds.values()]
    returned += [r for group in disputes.values() if (r := _fold_dispute(group, known))]
    if any(payment.released_rest for payment in known.values()):
        returned = _without_released_rests(returned)
    returned.sort(key=lambda r: (r.refund.source, r.refund.id))
    return sorted(set(known.values()), key=lambda p: (p.source, p.ids)), [r for r in returned if _opens(r)]


def _fold_payments(
    facts: list[PaymentFact], returned: Sequence[Sequence[RefundFact | DisputeFact]]
) -> dict[PaymentKey, Payment]:
    """Each payment under each of its ids. Facts that share an id, or a refund, speak of one payment."""
    aliases: Groups[PaymentKey] = Groups()
    for fact in facts:
        aliases.join((fact.source, i) for i in fact.ids)
    for group in returned:
        aliases.join((group[0].source, i) for i in _payment_ids(group))
    told: defaultdict[PaymentKey, list[PaymentFact]] = defaultdict(list)
    for fact in facts:
        told[aliases.root((fact.source, fact.ids[0]))].append(fact)
    taken = {
        aliases.root((f.source, f.payment_ids[0]))
        for group in returned
        for f in group
        if f.payment_ids and _shows_capture(f)
    }
    known: dict[PaymentKey, Payment] = {}
    for root, keys in aliases.members().items():
        payment = _fold_payment(root[0], tuple(sorted(i for _, i in keys)), told[root], taken=root in taken)
        known |= dict.fromkeys(keys, payment)
    return known


def _fold_payment(source: str, ids: tuple[str, ...], facts: list[PaymentFact], *, taken: bool) -> Payment:
    if len(facts) > 1:  # most often there is one, and then no tie to settle
        facts.sort(key=lambda f: (f.as_of, encode(f)))
    # What was captured only grows: a void releases the part that was not. So the largest is the last,
    # whatever order the events came in.
    captured = max((f.captured for f in facts if f.captured is not None), default=None)
    released = any(f.voided for f in facts)
    if taken and captured == 0 and not released:
        captured = None  # it was authorised; the event of its capture is missing
    # Where something goes back, only the rest was released: some part had been taken, how much is not told.
    if captured is None and released and not taken:
        captured = 0
    return Payment(
        source,
        ids,
        currency=next((f.currency for f in reversed(facts) if f.currency), None),
        captured=captured,
        released=released,
        order_refs=next((f.order_refs for f in reversed(facts) if f.order_refs), ()),
        released_rest=max((f.released_rest for f in facts), default=0),
    )


def _shows_capture(fact: RefundFact | DisputeFact) -> bool:
    """Whether it gives back what then had been taken, even if it fails. A void may return nothing."""
    return isinstance(fact, DisputeFact) or fact.kind == "refund"


def _fold_refund(facts: list[RefundFact], payments: dict[PaymentKey, Payment]) -> Returned:
    facts.sort(key=lambda f: (f.as_of, _STATUS_RANK[f.status], encode(f)))
    refunds = [f for f in facts if f.kind == "refund"]
    # Some gateways void a refund under its own id: then it is a refund that was canceled, also where the gateway goes
    # on telling the state in which it was voided.
    voided = [f for f in facts if f.kind == "void" and f.status == "succeeded"] if refunds else []
    last = (refunds or facts)[-1]
    status = "canceled" if voided else last.status
    # The void may name the refund as what it voids, which is no payment.
    payment = _payment(refunds or facts, payments)
    amount = last.amount
    if last.kind == "void" and payment and payment.captured is not None:
        amount = payment.captured  # a void returns the whole of what was captured
    refund = GatewayRefund(last.source, last.id, last.kind, status, amount, last.currency, min(f.at for f in facts))
    order_refs = next((f.order_refs for f in reversed(facts) if f.order_refs), ())
    failed_at = None
    if status in ("failed", "canceled"):
        ended = voided or [f for f in facts if (f.kind, f.status) == (last.kind, last.status)]
        failed_at = min(f.as_of for f in ended)
    return Returned(refund, payment, order_refs, failed_at)


def _fold_dispute(facts: list[DisputeFact], payments: dict[PaymentKey, Payment]) -> Returned | None:
    taken = _moved(facts, "withdrawn")
    if not any(f.amount for f in taken):
        return None
    net = _outstanding(taken, _moved(facts, "reinstated"))
    first = min((f for f in facts if f.direction == "withdrawn"), key=lambda f: (f.at, encode(f)))
    payment = _payment(facts, payments)
    refund = GatewayRefund(
        first.source,
        first.dispute_id,
        "chargeback",
        "succeeded" if net else "reversed",
        net or sum(f.amount for f in taken),
        first.currency,
        first.at,
    )
    return Returned(refund, payment)


def _payment_ids(facts: Iterable[RefundFact | DisputeFact]) -> list[str]:
    return [i for f in facts for i in f.payment_ids]


def _payment(facts: Sequence[RefundFact | DisputeFact], payments: dict[PaymentKey, Payment]) -> Payment | None:
    """The payment of which these facts of one refund speak; all ids they name are its."""
    ids = _payment_ids(facts)
    return payments[facts[0].source, ids[0]] if ids else None


def _moved(facts: list[DisputeFact], direction: str) -> list[DisputeFact]:
    """The dispute's movements in one direction, each once."""
    moved = {f.movement_id: f for f in sorted(facts, key=encode) if f.direction == direction}
    unnamed = moved.pop("", None)
    return list(moved.values()) or ([unnamed] if unnamed else [])


def _outstanding(taken: Iterable[DisputeFact], given_back: Iterable[DisputeFact]) -> int:
    """What was taken and not given back. What had not been taken yet is not given back: some gateways tell of a
    dispute that was won without saying whether it had cost anything. A day is allowed, as some tell days only.
    """
    movements = [(f.at, f.amount) for f in taken] + [(f.at + DAY, -f.amount) for f in given_back]
    outstanding = 0
    for _, amount in sorted(movements, key=lambda m: (m[0], -m[1])):
        outstanding = max(outstanding + amount, 0)
    return outstanding


def _without_released_rests(returned: list[Returned]) -> list[Returned]:
    """Without those that gave nothing back: of each payment the first of the amount that was released."""
    left = {one.payment for one in returned if one.payment and one.payment.released_rest}
    kept = []
    for one in sorted(returned, key=lambda r: (r.refund.at, r.refund.source, r.refund.id)):
        refund, payment = one.refund, one.payment
        if payment in left and refund.kind == "refund" and refund.amount == payment.released_rest:
            left.remove(payment)
        else:
            kept.append(one)
    return kept


def _opens(returned: Returned) -> bool:
    """Releasing what was never captured returned nothing, also where the gateway calls it a refund."""
    refund, payment = returned.refund, returned.payment
    if refund.kind == "void":
        return refund.amount > 0
    return refund.kind != "refund" or payment is None or payment.captured != 0 or not payment.released
