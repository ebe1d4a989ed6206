"""Which of the facts that hang together are about one order."""

from collections import defaultdict
from collections.abc import Iterable

from ledger.facts import Decision, DisputeFact, Fact, OrderFact, PaymentFact, RefundFact, found_at, order_ref
from ledger.links import Link, Links, OrderKey, operator_links
from ledger.orders import fold_order
from ledger.payments import fold_gateway
from ledger.policy import Policy


def facts_of_order(component: Iterable[Fact], order: OrderKey, policy: Policy) -> set[Fact]:
    """Those of the component without what belongs to other orders, which a decision or a text may have joined to it.

    What belongs to no order stays: it may be about this one.
    """
    facts = set(component)
    homes = _homes(facts, policy)
    theirs = {fact for fact in facts if _is_of(fact, order, homes)}
    refs = {order_ref(*order)} | {found_at(fact)[0] for fact in theirs}
    decisions = [fact for fact in facts if isinstance(fact, Decision)]
    linked = {name for d in decisions if (d.store, d.order_id) == order for name in d.refunds}
    # Whoever reads that a refund was linked to the order also wants to read that it no longer is.
    return theirs | {d for d in decisions if not (refs.isdisjoint(found_at(d)) and linked.isdisjoint(d.refunds))}


def _homes(facts: set[Fact], policy: Policy) -> dict[tuple[str, ...], set[OrderKey]]:
    """The orders of each payment and each gateway refund, under its keys; a refund is also its payment's order's."""
    snapshots: defaultdict[OrderKey, list[OrderFact]] = defaultdict(list)
    for fact in facts:
        if isinstance(fact, OrderFact):
            snapshots[fact.store, fact.order_id].append(fact)
    payments, returned = fold_gateway(facts)
    links = Links([fold_order(group, policy) for group in snapshots.values()], payments, policy)
    operator = operator_links(fact for fact in facts if isinstance(fact, Decision))
    by_payment = {payment: _orders(links.of_payment(payment)) for payment in payments}
    homes: dict[tuple[str, ...], set[OrderKey]] = {}
    for one in returned:
        own = _orders(links.of_refund(one, operator))
        paid_for = by_payment[one.payment] if one.payment else set()
        homes["refund", one.refund.source, one.refund.id] = own | paid_for
    for one in returned:
        if one.payment:
            by_payment[one.payment] = by_payment[one.payment] | homes["refund", one.refund.source, one.refund.id]
    return homes | {("payment", p.source, id_): found for p, found in by_payment.items() for id_ in p.ids}


def _orders(link: Link) -> set[OrderKey]:
    return {link.order} if link.order else {(s.store, s.order_id) for s in link.candidates}


def _is_of(fact: Fact, order: OrderKey, homes: dict[tuple[str, ...], set[OrderKey]]) -> bool:
    if isinstance(fact, OrderFact):
        return (fact.store, fact.order_id) == order
    if isinstance(fact, Decision):
        return False
    # A refund that returned nothing is where its payment is.
    orders = next((homes[key] for key in _keys(fact) if key in homes), set())
    return not orders or order in orders


def _keys(fact: PaymentFact | RefundFact | DisputeFact) -> list[tuple[str, ...]]:
    if isinstance(fact, PaymentFact):
        return [("payment", fact.source, id_) for id_ in fact.ids]
    id_ = fact.id if isinstance(fact, RefundFact) else fact.dispute_id
    return [("refund", fact.source, id_), *(("payment", fact.source, payment_id) for payment_id in fact.payment_ids)]
