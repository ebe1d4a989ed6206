"""Generated histories: several stores and gateways, few names, so that everything meets everything."""

from hashlib import sha256
from typing import Any

from hypothesis import strategies as st

from ledger.derive import derive
from ledger.facts import Decision, DisputeFact, Fact, OrderFact, PaymentFact, RefundFact
from ledger.instants import INSTANT_MAX
from tests.ledger.build import POLICY, at, decided, order, paid, refund


def often(usual: Any, *others: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401 - values of any field
    """The usual value four times in five: most of a history belongs together, so that it can agree or not."""
    return st.sampled_from([usual] * 4 * len(others) + list(others))


GATEWAYS = often("stripe", "anet")
CURRENCIES = often("GBP", "JPY", "KWD")
AMOUNTS = st.sampled_from([500, 1000, 1000, 1500, 1500, 2500, 8500, 10000, 0])
HOURS = st.integers(0, 60)
PAYMENT_IDS = often("pi_1", "pi_2", "ch_1", "ch_2", "777")
TEXTS = often("1001", "1002", "n/a")
PAYMENT_STATUSES = st.sampled_from(
    [None, "pending", "authorized", "paid", "paid", "partially_refunded", "refunded", "voided"]
)


def some(names: st.SearchStrategy[str], least: int = 0) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(names, min_size=least, max_size=2, unique=True).map(tuple)


PAYMENTS = st.builds(
    PaymentFact,
    source=GATEWAYS,
    ids=some(PAYMENT_IDS, 1),
    as_of=HOURS.map(at),
    currency=CURRENCIES | st.none(),
    captured=AMOUNTS | st.none(),
    voided=st.booleans(),
    order_refs=some(TEXTS),
)


@st.composite
def refunds(draw: st.DrawFn) -> RefundFact:
    made = draw(HOURS)
    return RefundFact(
        source=draw(GATEWAYS),
        id=draw(st.sampled_from(["re_1", "re_2", "re_3", "re_4", "re_5"])),
        kind=draw(st.sampled_from(["refund", "refund", "refund", "void"])),
        status=draw(st.sampled_from(["succeeded", "succeeded", "pending", "failed", "canceled"])),
        amount=draw(AMOUNTS),
        currency=draw(CURRENCIES),
        at=at(made),
        as_of=at(made + draw(st.integers(0, 90))),
        payment_ids=draw(some(PAYMENT_IDS, 1) | some(PAYMENT_IDS)),
        order_refs=draw(some(TEXTS)),
    )


DISPUTES = st.builds(
    DisputeFact,
    source=GATEWAYS,
    dispute_id=st.sampled_from(["dp_1", "dp_2"]),
    movement_id=st.sampled_from(["", "t1", "t2"]),
    direction=st.sampled_from(["withdrawn", "reinstated"]),
    amount=AMOUNTS,
    currency=CURRENCIES,
    at=HOURS.map(at),
    payment_ids=some(PAYMENT_IDS),
)


@st.composite
def snapshots(draw: st.DrawFn) -> OrderFact:
    order_id, told = draw(TEXTS), draw(HOURS)
    content: dict[str, Any] = {
        "store": draw(often("shop", "second", "asked")),
        "order_id": order_id,
        "currency": draw(often("GBP", "JPY", "KWD", None)),
        "total": draw(often(10000, 0, 5000, None)),
        "refunded": draw(AMOUNTS | st.none()),
        "payment_status": draw(PAYMENT_STATUSES),
        "cancelled": draw(often(False, True, None)),
        "transactions": draw(some(PAYMENT_IDS, 1) | some(PAYMENT_IDS)),
        "method": draw(often(None, "Payments.Stripe", "Payments.Anet", "Payments.PurchaseOrder", "Payments.PayPal")),
        "order_refs": (order_id,),
    }
    return OrderFact(
        origin=draw(often("event", "read", "document")),
        as_of=at(told),
        arrived_at=at(told + draw(st.sampled_from([0, 1, 30, -1]))),
        digest=sha256(repr(content).encode()).hexdigest(),
        **content,
    )


FACTS: st.SearchStrategy[Fact] = st.one_of(PAYMENTS, refunds(), refunds(), DISPUTES, snapshots(), snapshots())
ACTIONS = st.sampled_from(["resolve", "resolve", "reopen", "link", "unlink", "snooze", "assign", "note"])


@st.composite
def stories(draw: st.DrawFn) -> list[Fact]:
    """One paid order: what its gateway gave back, and about the same recorded, in other steps perhaps."""
    amounts = draw(st.lists(st.sampled_from([500, 1000, 1500, 2500, 4000]), max_size=4))
    gave = [
        refund(f"re_{i + 1}", amount, draw(HOURS), status=draw(often("succeeded", "pending", "failed")))
        for i, amount in enumerate(amounts)
    ]
    facts: list[Fact] = [paid(draw(often(10000, 2500, None))), *gave]
    total = 0
    for amount in draw(st.permutations(amounts)):
        total += amount
        told = draw(often("tells", "is silent", "tells no amount"))
        if told != "is silent":
            facts.append(order("partially_refunded", total if told == "tells" else None, draw(HOURS)))
    return [*facts, order(hours=0, cancelled=draw(st.booleans()))]


@st.composite
def histories(draw: st.DrawFn) -> list[Fact]:
    """Facts, and decisions about the entries that there were at some time."""
    facts = draw(stories()) + draw(st.lists(FACTS, max_size=8))
    for number in range(draw(st.integers(0, 3))):
        hours = draw(st.integers(0, 600))
        open_entries = derive(facts, POLICY, at(hours)).entries
        if open_entries:
            more = {
                "store": "shop",
                "order_id": draw(TEXTS),
                "id": f"d{number}",
                "text": draw(st.sampled_from(["", "x"])),
            }
            facts.append(decided(draw(ACTIONS), draw(st.sampled_from(open_entries)), hours, **more))
    return facts


# Any facts that are well typed, however senseless.

_NAMES = st.text(min_size=1, max_size=3)
_INSTANTS = st.integers(0, INSTANT_MAX)
_TUPLES = st.lists(_NAMES, max_size=3).map(tuple)
_CODES = st.sampled_from(["GBP", "JPY", "ZZZ"])
_NUMBERS = st.integers(-(10**15), 10**15)
_BY_NAME: dict[str, st.SearchStrategy[Any]] = {
    "source": st.sampled_from("ab"), "store": st.sampled_from("st"), "id": _NAMES, "order_id": _NAMES, "ids": _TUPLES,
    "dispute_id": _NAMES.map("d{}".format), "payment_ids": _TUPLES, "transactions": _TUPLES, "order_refs": _TUPLES,
    "amount": _NUMBERS, "at": _INSTANTS, "as_of": _INSTANTS, "arrived_at": _INSTANTS, "currency": _CODES,
    "captured": st.none() | _NUMBERS, "total": st.none() | _NUMBERS, "refunded": st.none() | _NUMBERS,
    "anchor": st.tuples(st.just("refund"), st.sampled_from("ab"), _NAMES)
    | st.tuples(st.just("cancelled"), st.sampled_from("st"), _NAMES)
    | st.tuples(st.just("recorded"), st.sampled_from("st"), _NAMES, _NAMES),
    "refunds": st.lists(st.tuples(st.sampled_from("ab"), _NAMES).map("/".join), max_size=2).map(tuple),
}  # fmt: skip
ANY_FACT: st.SearchStrategy[Fact] = st.one_of(
    *(
        st.builds(cls, **{name: known for name, known in _BY_NAME.items() if name in cls.__struct_fields__})
        for cls in (PaymentFact, RefundFact, DisputeFact, OrderFact, Decision)
    )
)
