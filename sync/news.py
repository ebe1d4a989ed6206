"""Whether what was fetched says anything that is not known yet."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.facts import Decision, DisputeFact, Fact, OrderFact, PaymentFact, RefundFact, found_at
from storage.facts import load_facts


class Known:
    """The facts that are stored of the same things."""

    def __init__(self, stored: Iterable[tuple[int, Fact]]) -> None:
        self._by_ref: defaultdict[int, list[Fact]] = defaultdict(list)
        for ref, fact in stored:
            self._by_ref[ref].append(fact)

    def has(self, fact: Fact) -> bool:
        """Whether the very same was told before, whenever that was."""
        return any(_substance(old) == _substance(fact) for old in self._of_same(fact))

    def money_moved(self, fact: Fact) -> bool:
        """Whether the fact tells of a refund, chargeback or status that nothing has told of."""
        match fact:
            case RefundFact():
                told = {(old.status, old.amount) for old in self._of_same(fact) if isinstance(old, RefundFact)}
                return (fact.status, fact.amount) not in told
            case DisputeFact() | OrderFact():
                return not self.has(fact)
            case PaymentFact() | Decision():
                return False

    def _of_same(self, fact: Fact) -> list[Fact]:
        same = [old for old in self._by_ref[found_at(fact)[0]] if type(old) is type(fact)]
        # An order may go back to what it was once: only its latest snapshot says what is known.
        return sorted(same, key=lambda old: old.as_of)[-1:] if isinstance(fact, OrderFact) else same  # type: ignore[union-attr]


async def known(conn: AsyncConnection, facts: Sequence[Fact], arrived: Iterable[Fact]) -> Known:
    """What is stored of the things that these facts are about, and what has arrived and is not stored yet."""
    stored = await load_facts(conn, {found_at(fact)[0] for fact in facts})
    return Known([*stored, *((found_at(fact)[0], fact) for fact in arrived)])


def _substance(fact: Fact) -> object:
    """The fact without when it was told."""
    match fact:
        case OrderFact():
            return fact.total, fact.refunded, fact.payment_status, fact.cancelled, fact.transactions, fact.currency
        case RefundFact() | PaymentFact():
            return replace(fact, as_of=0)
        case DisputeFact():
            return replace(fact, at=0)  # some gateways do not tell when, and then it is when we first saw it
        case Decision():
            return fact
