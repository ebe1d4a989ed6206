"""Which order a payment or a gateway refund belongs to. Only references and operators link; nothing is guessed."""

import re
from collections import defaultdict
from collections.abc import Iterable

from msgspec import Struct

from ledger.entries import Suggestion
from ledger.facts import Decision
from ledger.orders import Order
from ledger.payments import Payment, Returned
from ledger.policy import Gateway, Policy, Store

OrderKey = tuple[str, str]
"""Store and order id."""


class Link(Struct, frozen=True, gc=False):
    """The order that was found, and how; or the candidates, where several fit."""

    order: OrderKey | None
    how: str = ""
    candidates: tuple[Suggestion, ...] = ()


NOT_FOUND = Link(None)


class Links:
    """Finds the order of payments and gateway refunds among the orders of a component."""

    def __init__(self, orders: Iterable[Order], payments: Iterable[Payment], policy: Policy) -> None:
        self._policy = policy
        self._orders = {(o.store, o.order_id): o for o in sorted(orders, key=lambda o: (o.store, o.order_id))}
        self._known = {(p.source, i) for p in payments for i in p.ids}
        self._by_transaction: defaultdict[str, list[Order]] = defaultdict(list)
        self._by_text: defaultdict[str, list[Order]] = defaultdict(list)
        for order in self._orders.values():
            for transaction in set(order.transactions):
                self._by_transaction[transaction].append(order)
            for text in order.order_refs:
                self._by_text[text].append(order)

    def of_payment(self, payment: Payment) -> Link:
        """By the payment reference, else by the order reference in the gateway's data."""
        return self._by_payment(payment) or self._by_order_ref(
            payment.source, payment, payment.order_refs, payment.currency
        )

    def of_refund(self, returned: Returned, operator: dict[str, Decision]) -> Link:
        """By an operator's link, else by the payment, else by an order reference: its own, then its payment's."""
        refund = returned.refund
        decision = operator.get(f"{refund.source}/{refund.id}")
        if decision and (decision.store, decision.order_id) in self._orders:
            return Link((decision.store, decision.order_id), f"linked by {decision.actor}")
        if returned.payment and (link := self._by_payment(returned.payment)):
            return link
        payment = returned.payment
        own = self._by_order_ref(refund.source, payment, returned.order_refs, refund.currency)
        if own.order or own.candidates or payment is None:
            return own
        return self._by_order_ref(refund.source, payment, payment.order_refs, refund.currency)

    def is_paid_through_gateway(self, order: Order) -> bool:
        """Whether the order's payment belongs to a configured gateway: its total then says what was captured."""
        store = self._policy.stores.get(order.store, Store())
        if order.method in store.offline_methods:
            return False
        return any(
            order.method in store.payment_methods or self._is_of_gateway(i, source)
            for i in order.transactions
            for source in self._policy.gateways
        )

    def unconfigured(self, order: Order) -> str | None:
        """The payment method that the order names, where none of the configured gateways can be behind it.

        A gateway can be, unless it serves other stores, or another payment method was said to be it, or its payment
        ids have a form that those of the order do not have. In doubt it can: an alarm too many is seen.
        """
        store = self._policy.stores.get(order.store, Store())
        known = (*store.offline_methods, *store.payment_methods)
        if not order.method or order.method in known or self.is_paid_through_gateway(order):
            return None
        for source, gateway in self._policy.gateways.items():
            elsewhere = gateway.stores is not None and order.store not in gateway.stores
            of_another_form = gateway.payment_id_form and order.transactions
            if not (elsewhere or of_another_form or source in store.payment_methods.values()):
                return None
        return order.method

    def _by_payment(self, payment: Payment) -> Link | None:
        found = {
            (o.store, o.order_id): i
            for i in payment.ids
            for o in self._by_transaction.get(i, ())
            if self._gateway_of(o) in (None, payment.source)
        }
        if len(found) == 1:
            [(key, payment_id)] = found.items()
            return Link(key, f"found by payment {payment_id}")
        if found:
            return Link(None, "", tuple(Suggestion(s, o, f"carries payment {found[s, o]}") for s, o in sorted(found)))
        return None

    def _by_order_ref(self, source: str, payment: Payment | None, texts: tuple[str, ...], currency: str | None) -> Link:
        served = self._policy.gateways.get(source, Gateway()).stores
        found = {
            (o.store, o.order_id): text
            for text in texts
            for o in self._by_text.get(text, ())
            if (served is None or o.store in served)
            and o.currency == currency
            and not self._names_another_payment(o, source, payment)
        }
        if len(found) == 1:
            [(key, text)] = found.items()
            return Link(key, f"found by order reference {text}")
        return Link(None, "", tuple(Suggestion(s, o, f"has order reference {found[s, o]}") for s, o in sorted(found)))

    def _names_another_payment(self, order: Order, source: str, payment: Payment | None) -> bool:
        if payment is None or not set(payment.ids).isdisjoint(order.transactions):
            return False
        return any(self._gateway_of(order) == source or self._is_of_gateway(i, source) for i in order.transactions)

    def _is_of_gateway(self, payment_id: str, source: str) -> bool:
        form = self._policy.gateways.get(source, Gateway()).payment_id_form
        return (source, payment_id) in self._known or bool(form and re.fullmatch(form, payment_id))

    def _gateway_of(self, order: Order) -> str | None:
        """The gateway that the order's payment method is known to be, if it is."""
        return self._policy.stores.get(order.store, Store()).payment_methods.get(order.method or "")


def operator_links(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """The link in force for each gateway refund, as "source/id"; an unlink lets the rules decide again."""
    links: dict[str, Decision] = {}
    for decision in sorted(decisions, key=lambda d: (d.at, d.id)):
        for name in decision.refunds:
            if decision.action == "link":
                links[name] = decision
            elif decision.action == "unlink":
                links.pop(name, None)
    return links
