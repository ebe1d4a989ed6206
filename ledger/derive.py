"""From facts to entries: a pure function of a set of facts, the policy and the time.

The facts are those of whole components (everything that shares a reference, see `ledger.facts`), one or many.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import replace

from ledger.decisions import apply_decisions
from ledger.entries import Entry, GatewayRefund
from ledger.facts import Decision, Fact, OrderFact
from ledger.instants import Instant
from ledger.judge import Bucket, cancelled_entry, entry_of
from ledger.links import Link, Links, OrderKey, operator_links
from ledger.orders import Order, fold_order, storefront_refunds
from ledger.pairing import Group, Pairing, beyond, came_to_nothing
from ledger.payments import Captured, Payment, Returned, fold_gateway
from ledger.policy import Gateway, Policy


class Derived(Struct, frozen=True, gc=False):
    """What the facts amount to. Entries are sorted by opening time and id, orders by store and id."""

    entries: list[Entry]
    orders: list[Order]
    sought: list[OrderKey]
    """Orders that a gateway's data names and that no fact tells of; only in stores that can be asked."""


@dataclass
class _Case:
    """One order with everything that was found to belong to it."""

    order: Order
    payments: list[Payment] = field(default_factory=list)
    returned: list[tuple[Returned, Link]] = field(default_factory=list)

    def currencies(self) -> set[str]:
        """In which the gateways speak of it."""
        return {p.currency for p in self.payments if p.currency} | {r.refund.currency for r, _ in self.returned}


def derive(facts: Iterable[Fact], policy: Policy, now: Instant) -> Derived:
    """The entries and orders of these facts as of `now`."""
    snapshots: defaultdict[OrderKey, list[OrderFact]] = defaultdict(list)
    decisions: dict[str, Decision] = {}
    gateway: list[Fact] = []
    for fact in facts:
        match fact:
            case OrderFact():
                snapshots[fact.store, fact.order_id].append(fact)
            case Decision():
                decisions[fact.id] = fact
            case _:
                gateway.append(fact)

    orders = [fold_order(group, policy) for _, group in sorted(snapshots.items())]
    payments, returned = fold_gateway(gateway)
    links = Links(orders, payments, policy)
    cases, strays = _sort_out(orders, payments, returned, links, decisions.values())
    entries = [entry for case in cases for entry in _of_order(case, links, policy, now)]
    entries += _of_strays(strays, _beyond_their_payment(strays, returned), policy, now)
    entries = apply_decisions(entries, decisions.values())
    return Derived(sorted(entries, key=lambda e: (e.opened_at, e.id)), orders, _sought(strays, policy))


def _sort_out(
    orders: list[Order],
    payments: list[Payment],
    returned: list[Returned],
    links: Links,
    decisions: Iterable[Decision],
) -> tuple[list[_Case], list[tuple[Returned, Link]]]:
    """Everything to its order; and what has none."""
    cases = {(o.store, o.order_id): _Case(o) for o in orders}
    strays = []
    operator = operator_links(decisions)
    homes_of: defaultdict[Payment, set[OrderKey]] = defaultdict(set)
    for one in returned:
        link = links.of_refund(one, operator)
        if link.order is None:
            strays.append((one, link))
            continue
        cases[link.order].returned.append((one, link))
        if one.payment:
            homes_of[one.payment].add(link.order)
    for payment in payments:
        link = links.of_payment(payment)
        homes = {link.order} if link.order else homes_of[payment]
        # A payment of several orders says of none what was captured for it.
        if len(homes) == 1 and not link.candidates:
            cases[homes.pop()].payments.append(payment)
    return list(cases.values()), strays


def _captured(case: _Case, links: Links) -> Captured | None:
    """What was taken for the order; None where nothing tells."""
    order = case.order
    currencies = {p.currency for p in case.payments if p.currency}
    currency = currencies.pop() if len(currencies) == 1 else order.currency
    told = [p.captured for p in case.payments if p.currency in (currency, None)]
    known = [captured for captured in told if captured is not None]
    if known and len(known) == len(told):
        return Captured(sum(known), currency)
    if order.was_paid and case.currencies() <= {order.currency} and links.is_paid_through_gateway(order):
        return None if order.total is None else Captured(order.total, order.currency)
    return None


def _of_order(case: _Case, links: Links, policy: Policy, now: Instant) -> list[Entry]:
    if case.order.currency is None and len(currencies := case.currencies()) == 1:
        case.order = replace(case.order, currency=currencies.pop())  # what the order does not tell, its payment does
    order = case.order
    captured = _captured(case, links)
    moved = [one for one in case.returned if _counts(one[0], order, captured)]
    refunds = [returned.refund for returned, _ in moved]
    recorded = storefront_refunds(order, captured.amount if captured and captured.currency == order.currency else None)
    groups = Pairing(order, captured, refunds, recorded, policy).groups if refunds or recorded else []
    if not case.payments and not case.returned and (method := links.unconfigured(order)):
        groups = [_unconfigured(group, method) for group in groups]
    how = {(r.refund.source, r.refund.id): link.how for r, link in moved}
    failed_at = {(r.refund.source, r.refund.id): r.failed_at for r, _ in moved if r.failed_at is not None}
    bucket = Bucket(order, captured, how, policy, now, failed_at=failed_at)
    entries = [entry_of(group, bucket) for group in groups]
    # Of what is older than the ledger only the money that went back counts: no entry asks for the rest.
    seen = [group if entry else replace(group, storefront=()) for group, entry in zip(groups, entries, strict=True)]
    entries.append(cancelled_entry(seen, bucket))
    return [e for e in entries if e]


def _unconfigured(group: Group, method: str) -> Group:
    """A refund that was recorded where nobody listens to the gateway: nothing says that it is missing there."""
    if group.closed:
        return group
    rule = f"it was paid by {method}, and no source is configured for that"
    return replace(group, reason=None, rule=rule, closed=True, unconfigured=method)


def _counts(returned: Returned, order: Order, captured: Captured | None) -> bool:
    """A void returned money only where some had been taken, and its order stood or was ended.

    An approval workflow voids what it never captured, and makes the total of an order that stays Paid 0.
    """
    if returned.refund.kind != "void":
        return True
    taken = returned.payment.captured if returned.payment else None
    ended = order.cancelled or order.payment_status in ("refunded", "voided")
    return bool(captured and captured.amount if taken is None else taken) and (order.total != 0 or ended)


def _of_strays(
    strays: list[tuple[Returned, Link]], over: set[GatewayRefund], policy: Policy, now: Instant
) -> list[Entry]:
    """Gateway refunds without an order: each stands alone."""
    entries = []
    for returned, link in strays:
        payment = returned.payment
        captured = Captured(payment.captured, payment.currency) if payment and payment.captured is not None else None
        if returned.refund.kind == "void" and not (captured and captured.amount):
            continue
        group = _stray(returned.refund, returned.refund in over, bool(link.candidates))
        entries.append(entry_of(group, Bucket(None, captured, {}, policy, now, link.candidates)))
    return [e for e in entries if e]


def _sought(strays: list[tuple[Returned, Link]], policy: Policy) -> list[OrderKey]:
    """The orders to ask for, whose numbers the gateway knows."""
    sought = set()
    for returned, link in strays:
        served = policy.gateways.get(returned.refund.source, Gateway()).stores
        stores = [s for s, store in policy.stores.items() if store.has_api and (served is None or s in served)]
        if not link.candidates:
            texts = returned.order_refs + (returned.payment.order_refs if returned.payment else ())
            sought |= {(store, text) for store in stores for text in texts if text.isdigit()}
    return sorted(sought)


def _beyond_their_payment(strays: list[tuple[Returned, Link]], returned: list[Returned]) -> set[GatewayRefund]:
    """The strays by which all that went back of a payment, also on orders, exceeds what was captured."""
    sums: Counter[Payment] = Counter()
    for one in returned:
        if one.payment and one.payment.currency == one.refund.currency:
            sums[one.payment] += one.refund.returned
    alone: defaultdict[Payment, list[GatewayRefund]] = defaultdict(list)
    for one, _ in strays:
        if one.payment and one.payment.captured is not None and one.payment.currency == one.refund.currency:
            alone[one.payment].append(one.refund)
    over: set[GatewayRefund] = set()
    for payment, refunds in alone.items():
        over.update(beyond(payment.captured or 0, sums[payment], refunds))
    return over


def _stray(refund: GatewayRefund, over: bool, ambiguous: bool) -> Group:  # noqa: FBT001 - two facts about the refund
    if (nothing := came_to_nothing(refund)) is not None:
        return nothing
    if over:
        return Group((refund,), (), "over_refunded", "more went back than was captured", at_once=True)
    return Group((refund,), (), "order_ambiguous" if ambiguous else "order_unknown", "")
