"""Which gateway refunds and storefront refunds of one order belong together. The rules, in their order."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import TypeVar

from msgspec import Struct

from ledger.entries import GatewayRefund, Reason, StorefrontRefund
from ledger.instants import Instant
from ledger.orders import Order
from ledger.payments import Captured
from ledger.policy import Policy, Store

SEARCH_MAX = 12
"""Sums are searched among at most so many refunds of a side: 4,096 combinations. More stay unpaired, for a person."""


class Group(Struct, frozen=True, gc=False):
    """The members of one entry, and the rule that put them together."""

    gateway: tuple[GatewayRefund, ...]
    storefront: tuple[StorefrontRefund, ...]
    reason: Reason | None
    rule: str
    at_once: bool = False
    """No grace period: time will not mend it."""
    closed: bool = False
    """Its facts came to nothing."""
    other_side_at: Instant | None = None
    """When a side that has no refund of its own agreed: the cancellation that a void settles."""
    unconfigured: str | None = None
    """The payment method for which no source is configured, so that nothing can pair."""


class Pairing:
    """Pairs one order's refunds. `groups` is the result; every refund stands in exactly one."""

    def __init__(
        self,
        order: Order,
        captured: Captured | None,
        gateway: Iterable[GatewayRefund],
        storefront: Iterable[StorefrontRefund],
        policy: Policy,
    ) -> None:
        self.groups: list[Group] = []
        self._order = order
        self._policy = policy
        everything = list(gateway)
        self._live = [g for g in everything if g.status in ("succeeded", "pending")]
        self._failed = [g for g in everything if g.status in ("failed", "canceled")]
        reversed_ = [g for g in everything if g.status == "reversed"]
        self._waiting = [s for s in storefront if s.amount]
        self._unknown = next((s for s in storefront if s.amount is None), None)
        self._foreign = [g for g in self._live if g.currency != order.currency]
        self._live = [g for g in self._live if g.currency == order.currency]
        self._captured = captured
        returned = sum(g.returned for g in self._live_as_captured())

        self._pair_equal_amounts()
        self._pair_sums()
        # Where what is left here gave back the last of it, nobody waits for the refund that failed.
        gave_all = captured and 0 < captured.amount <= returned
        if not (gave_all and any(g.returned for g in self._live_as_captured())):
            self._pair_failed()
        self._cover_unknown_amount()
        if captured is not None:
            if returned > captured.amount and all(g.returned for g in self._live_as_captured()):
                self._pair_only_ones_left(at_once=True)
            for over in beyond(captured.amount, returned, self._live_as_captured()):
                self._settle([over], (), "over_refunded", "more went back than was captured", at_once=True)
        self._settle_voids_of_cancelled_order()
        self._settle_rest()
        self.groups += filter(None, map(came_to_nothing, [*self._failed, *reversed_]))
        for taken_back in (s for s in storefront if s.amount == 0):
            self._settle((), [taken_back], None, "the recorded refund was taken back", closed=True)

    def _pair_equal_amounts(self) -> None:
        """One to one, nearest in time first, then by id; what the shop itself refunded before chargebacks."""
        for chargebacks in (False, True):
            side = [g for g in self._live if (g.kind == "chargeback") is chargebacks]
            for refund, recorded in nearest_pairs(side, self._waiting):
                self._settle([refund], [recorded], None, "equal amounts")

    def _pair_failed(self) -> None:
        """A recorded refund that no succeeded refund pays, and the failed one that should have."""
        for refund, recorded in nearest_pairs(self._failed, self._waiting):
            self._settle([refund], [recorded], "refund_failed", "equal amounts", at_once=True)
        self._pair_sums(with_failed=True)
        if len(self._waiting) == 1 and len(self._failed) == 1 and not self._live and not self._foreign:
            self._settle(self._failed, self._waiting, "refund_failed", "the only ones left", at_once=True)

    def _pair_sums(self, *, with_failed: bool = False) -> None:
        """One to several, either way, where the sum is exact and no other combination fits."""
        reason: Reason | None = "refund_failed" if with_failed else None
        while candidates := [*self._live, *(self._failed_in_currency() if with_failed else ())]:
            found = _unambiguous(_sums(candidates, self._waiting)) if self._waiting else []
            if with_failed:
                found = [(g, s) for g, s in found if any(r in self._failed for r in g)]
            if not found:
                return
            for refunds, recorded in found:
                self._settle(refunds, recorded, reason, "the amounts add up", at_once=with_failed)

    def _live_as_captured(self) -> list[GatewayRefund]:
        """Those that are left in the currency of what was captured."""
        captured = self._captured
        return [g for g in (*self._live, *self._foreign) if captured and g.currency == captured.currency]

    def _failed_in_currency(self) -> list[GatewayRefund]:
        return [g for g in self._failed if g.currency == self._order.currency]

    def _cover_unknown_amount(self) -> None:
        """`PartiallyRefunded` without an amount covers what went back by then, while it is less than the total."""
        if self._unknown is None:
            return
        latest = self._unknown.at + self._policy.grace_for(self._order.store)
        total = self._order.total
        returned = sum(g.returned for group in self.groups for g in group.gateway)
        covered: list[GatewayRefund] = []
        for refund in sorted(self._live, key=_moment):
            returned += refund.amount
            if refund.at > latest or (total is not None and returned >= total):
                break
            if refund.kind != "chargeback":
                covered.append(refund)
        if covered:
            self._settle(covered, [self._unknown], None, "the storefront told a partial refund without an amount")
        elif failed := [f for f in self._failed if f.at <= latest]:
            self._settle(failed, [self._unknown], "refund_failed", "the only ones left", at_once=True)
        else:
            self._waiting.append(self._unknown)
        self._unknown = None

    def _settle_voids_of_cancelled_order(self) -> None:
        # Where a recorded refund is the only other one left, they speak of the same money.
        told = len(self._live) + len(self._foreign) == len(self._waiting) == 1 and self._waiting[0].amount is not None
        if self._order.cancelled and not told:
            for void in [g for g in (*self._live, *self._foreign) if g.kind == "void"]:
                self._drop([void])
                self.groups.append(Group((void,), (), None, "", other_side_at=self._order.cancelled_at))

    def _pair_only_ones_left(self, *, at_once: bool = False) -> None:
        """Exactly one left on each side belong together and differ."""
        left = [*self._live, *self._foreign]
        recorded = list(self._waiting)
        if len(left) == 1 and len(recorded) == 1:
            if left[0].currency != recorded[0].currency:
                self._settle(left, recorded, "currency_mismatch", "the only ones left", at_once=at_once)
            elif recorded[0].amount is not None:
                self._settle(left, recorded, "amount_mismatch", "the only ones left", at_once=at_once)

    def _settle_rest(self) -> None:
        """What is left alone is missing on the other side."""
        self._pair_only_ones_left()
        for refund in [*self._live, *self._foreign]:
            self._settle([refund], (), "missing_in_storefront", "")
        store = self._policy.stores.get(self._order.store, Store())
        for waiting in list(self._waiting):
            if self._order.method in store.offline_methods:
                self._settle((), [waiting], None, "the order was paid without a gateway", closed=True)
            else:
                self._settle((), [waiting], "missing_in_gateway", "")

    def _settle(
        self,
        gateway: Sequence[GatewayRefund],
        storefront: Sequence[StorefrontRefund],
        reason: Reason | None,
        rule: str,
        *,
        at_once: bool = False,
        closed: bool = False,
    ) -> None:
        """Put the members into a group and take them out of every list in which they waited."""
        members = tuple(sorted(gateway, key=_name)), tuple(sorted(storefront, key=_moment))
        self.groups.append(Group(*members, reason, rule, at_once, closed))
        self._drop(gateway)
        self._waiting = [s for s in self._waiting if s not in storefront]

    def _drop(self, gateway: Sequence[GatewayRefund]) -> None:
        self._live = [g for g in self._live if g not in gateway]
        self._foreign = [g for g in self._foreign if g not in gateway]
        self._failed = [g for g in self._failed if g not in gateway]


def came_to_nothing(refund: GatewayRefund) -> Group | None:
    """The group of a refund that moved no money in the end and that nothing waits for; None for any other."""
    match refund.status:
        case "failed" | "canceled":
            rule = f"it {'failed' if refund.status == 'failed' else 'was canceled'}, and nothing recorded waits for it"
        case "reversed":
            rule = "the chargeback was given back"
        case _:
            return None
    return Group((refund,), (), None, rule, closed=True)


Combination = tuple[tuple[GatewayRefund, ...], tuple[StorefrontRefund, ...]]


def nearest_pairs(
    gateway: Iterable[GatewayRefund], storefront: Iterable[StorefrontRefund]
) -> list[tuple[GatewayRefund, StorefrontRefund]]:
    """Pairs of equal amounts, each refund at most once: the nearest in time first, then by id."""
    storefront = list(storefront)
    near = [
        (abs(g.at - s.at), _name(g), s.id, g, s)
        for g in gateway
        for s in storefront
        if g.amount == s.amount and g.currency == s.currency
    ]
    near.sort(key=lambda n: n[:3])
    pairs: list[tuple[GatewayRefund, StorefrontRefund]] = []
    taken: set[object] = set()
    for _, name, recorded_id, refund, recorded in near:
        if name not in taken and recorded_id not in taken:
            taken |= {name, recorded_id}
            pairs.append((refund, recorded))
    return pairs


def beyond(captured: int, returned: int, unpaired: Iterable[GatewayRefund]) -> list[GatewayRefund]:
    """The latest unpaired movements by which `returned` exceeds `captured`."""
    over = []
    for refund in sorted(unpaired, key=_moment, reverse=True):
        if returned <= captured:
            break
        if refund.returned:
            over.append(refund)
            returned -= refund.returned
    return over


def _sums(gateway: Sequence[GatewayRefund], storefront: Sequence[StorefrontRefund]) -> list[Combination]:
    """Every combination of one refund with several of the other side that add up to it."""
    refunds, recorded = _by_sum(gateway, storefront), _by_sum(storefront, gateway)
    found = [(several, (s,)) for s in storefront for several in refunds.get(s.amount, ())]
    return found + [((g,), several) for g in gateway for several in recorded.get(g.amount, ())]


R = TypeVar("R", GatewayRefund, StorefrontRefund)


def _by_sum(
    refunds: Sequence[R], others: Sequence[GatewayRefund | StorefrontRefund]
) -> dict[int | None, list[tuple[R, ...]]]:
    """Combinations of several refunds by their sum, for the sums that there are on the other side."""
    found: dict[int | None, list[tuple[R, ...]]] = {other.amount: [] for other in others}
    refunds = [r for r in refunds if r.amount]
    if len(refunds) <= SEARCH_MAX:
        for size in range(2, len(refunds) + 1):
            for several in combinations(refunds, size):
                if (total := sum(r.amount or 0 for r in several)) in found:
                    found[total].append(several)
    return found


def _unambiguous(found: list[Combination]) -> list[Combination]:
    """The combinations of which no member stands in another one."""
    uses = Counter(member for gateway, storefront in found for member in (*gateway, *storefront))
    return [
        (gateway, storefront) for gateway, storefront in found if all(uses[m] == 1 for m in (*gateway, *storefront))
    ]


def _moment(refund: GatewayRefund | StorefrontRefund) -> tuple[Instant, str]:
    return refund.at, refund.id


def _name(refund: GatewayRefund) -> tuple[str, str]:
    return refund.source, refund.id
