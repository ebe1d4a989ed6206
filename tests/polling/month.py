"""A month of refunds: what people, banks and gateways do, day by day. Every order has one of a dozen fates."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

from ledger.instants import Instant
from tests.polling.world import HOUR, T0, World

Act: TypeAlias = tuple[Instant, Callable[[World], list[str]]]
"""When, and what happens; the orders that the shop tells of."""

DAYS = 18
POLLED_AT = (*range(1, 13), 14, 16, DAYS, 40)
"""Days: daily for as long as anybody does anything but the banks."""


def at(order: int, days: float) -> Instant:
    """So many days after the day on which the order is placed."""
    return T0 + (order % 3) * 24 * HOUR + round(days * 24) * HOUR + 3 * HOUR


def happens(gateway: str) -> list[Act]:
    """Everything, in its order."""
    acts: list[Act] = []
    if gateway == "stripe":
        for n, stripe_fate in enumerate(_STRIPE):
            of = _StripeOrder(1000 + n)
            acts += [of.placed(), *stripe_fate(of)]
    else:
        for n, anet_fate in enumerate(_AUTHORIZENET):
            paid = _AnetOrder(1000 + n)
            acts += [paid.placed(), *anet_fate(paid)]
        acts += [(T0 + day * 24 * HOUR + 20 * HOUR, _settle) for day in range(DAYS)]
    return sorted(acts, key=lambda act: act[0])


def _settle(world: World) -> list[str]:
    world.anet.settle()
    return []


class _Order:
    """One order, and what happens to it so many days after it was placed."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = str(number)
        self.ids: dict[str, str] = {}

    def recorded(self, days: float, amount: str) -> Act:
        return self._at(days, lambda world: world.shop.refund(self.name, amount), told=True)

    def cancelled(self, days: float) -> Act:
        return self._at(days, lambda world: world.shop.cancel(self.name), told=True)

    def _at(self, days: float, act: Callable[[World], None], *, told: bool = False) -> Act:
        def done(world: World) -> list[str]:
            act(world)
            return [self.name] if told else []

        return at(self.number, days), done


class _StripeOrder(_Order):
    def placed(self) -> Act:
        def place(world: World) -> None:
            self.ids["charge"] = world.stripe.pay(100_00, metadata={"order_id": self.name})
            world.shop.place(self.name, "100.00", world.stripe.find(self.ids["charge"])["payment_intent"])

        return self._at(0, place, told=True)

    def refund(self, days: float, amount: int, status: str = "succeeded") -> Act:
        def make(world: World) -> None:
            self.ids["refund"] = world.stripe.refund(self.ids["charge"], amount, status)

        return self._at(days, make)

    def becomes(self, days: float, status: str) -> Act:
        return self._at(days, lambda world: world.stripe.becomes(self.ids["refund"], status))

    def disputed(self, days: float) -> Act:
        def take(world: World) -> None:
            self.ids["dispute"] = world.stripe.dispute(self.ids["charge"], 100_00)

        return self._at(days, take)

    def won(self, days: float) -> Act:
        return self._at(days, lambda world: world.stripe.win(self.ids["dispute"]))


class _AnetOrder(_Order):
    def placed(self) -> Act:
        def place(world: World) -> None:
            self.ids["sale"] = world.anet.sell("100.00", self.name)
            world.shop.place(self.name, "100.00", f"{self.ids['sale']},A1B2C3")
            world.shop.orders[self.name]["PaymentMethodSystemName"] = "Payments.AuthorizeNet"

        return self._at(0, place, told=True)

    def refund(self, days: float, amount: str, *, linked: bool = True, settles: bool = True) -> Act:
        def make(world: World) -> None:
            refund = world.anet.refund(self.ids["sale"] if linked else None, amount, self.name)
            if not settles:
                world.anet.unfit_for_settlement.add(refund)

        return self._at(days, make)

    def void(self, days: float) -> Act:
        return self._at(days, lambda world: world.anet.void(self.ids["sale"]))

    def charged_back(self, days: float) -> Act:
        return self._at(days, lambda world: world.anet.charge_back(self.ids["sale"]))

    def given_back(self, days: float) -> Act:
        return self._at(days, lambda world: world.anet.give_back(self.ids["sale"]))

    def returned(self, days: float) -> Act:
        return self._at(days, lambda world: world.anet.return_item(self.ids["sale"]))


_STRIPE: tuple[Callable[[_StripeOrder], Iterable[Act]], ...] = (
    lambda o: (o.refund(2, 40_00), o.recorded(3, "40.00")),
    lambda o: (o.refund(2, 40_00), o.recorded(3, "45.00")),
    lambda o: (o.refund(2, 40_00),),
    lambda o: (o.recorded(2, "40.00"), o.refund(3, 40_00)),
    lambda o: (o.refund(2, 40_00), o.recorded(3, "40.00"), o.becomes(7, "failed")),
    lambda o: (o.refund(2, 60_00), o.recorded(4, "60.00"), o.refund(6, 40_00), o.recorded(8, "40.00")),
    lambda o: (o.disputed(2),),
    lambda o: (o.disputed(2), o.won(14)),
    lambda o: (o.refund(2, 40_00, "pending"), o.recorded(3, "40.00"), o.becomes(7, "succeeded")),
    lambda o: (o.refund(2, 30_00), o.cancelled(3)),
    lambda o: (o.refund(2, 100_00), o.recorded(3, "100.00"), o.disputed(9)),
    lambda o: (o.refund(2, 20_00), o.becomes(6, "failed")),
)

_AUTHORIZENET: tuple[Callable[[_AnetOrder], Iterable[Act]], ...] = (
    lambda o: (o.refund(2, "40.00"), o.recorded(3, "40.00")),
    lambda o: (o.refund(2, "40.00"), o.recorded(3, "45.00")),
    lambda o: (o.refund(2, "40.00"),),
    lambda o: (o.recorded(2, "40.00"), o.refund(3, "40.00")),
    lambda o: (o.refund(2.75, "40.00", settles=False), o.recorded(3.2, "40.00")),
    lambda o: (o.refund(2, "60.00"), o.recorded(4, "60.00"), o.refund(6, "40.00"), o.recorded(8, "40.00")),
    lambda o: (o.void(0.5), o.recorded(2, "100.00")),
    lambda o: (o.charged_back(2),),
    lambda o: (o.charged_back(2), o.given_back(12)),
    lambda o: (o.refund(2, "30.00"), o.cancelled(3)),
    lambda o: (o.refund(2, "40.00", linked=False), o.recorded(3, "40.00")),
    lambda o: (o.returned(2),),
)
