"""What holds for every history, whatever happened and whatever order it is told in."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.derive import derive
from ledger.entries import Entry, decode_entry, encode_entry
from ledger.facts import Fact, PaymentFact, RefundFact, decode, encode, found_at, leads_to
from ledger.groups import Groups
from ledger.instants import DAY
from ledger.orders import storefront_refunds
from ledger.payments import fold_gateway
from ledger.present import entry_json
from tests.ledger.build import LATER, POLICY, at, decided, entries, order, paid, refund
from tests.ledger.histories import ANY_FACT, histories

bounded = settings(max_examples=40)
NOW = st.integers(0, 1000).map(at)
STRANGERS: list[Fact] = [
    paid(5000, "pi_stranger"),
    refund("re_stranger", 5000, payment_ids=("pi_stranger",)),
    order("refunded", hours=3, order_id="stranger", order_refs=("stranger",), transactions=("pi_stranger",)),
]


def components(facts: list[Fact]) -> list[list[Fact]]:
    """Facts that share a reference, as storage finds them."""
    groups: Groups[object] = Groups()
    there: defaultdict[int, list[int]] = defaultdict(list)
    for i, fact in enumerate(facts):
        groups.join([("fact", i)])
        for ref in found_at(fact):
            there[ref].append(i)
    for i, fact in enumerate(facts):
        groups.join([("fact", i), *(("fact", j) for ref in leads_to(fact) for j in there[ref])])
    parts: defaultdict[object, list[Fact]] = defaultdict(list)
    for i, fact in enumerate(facts):
        parts[groups.root(("fact", i))].append(fact)
    return list(parts.values())


def by_id(found: Iterable[Entry]) -> dict[str, Entry]:
    return {entry.id: entry for entry in found}


@bounded
@given(histories(), NOW, st.data())
def test_any_order_and_any_duplication_give_the_same_entries(facts: list[Fact], now: int, data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(facts), max_size=4)) if facts else []
    shuffled = data.draw(st.permutations(facts + again))
    assert derive(shuffled, POLICY, now) == derive(facts, POLICY, now)


@bounded
@given(histories(), NOW)
def test_components_can_be_derived_together_or_apart(facts: list[Fact], now: int) -> None:
    apart = [entry for part in components(facts) for entry in entries(*part, now=now)]
    assert entries(*facts, now=now) == sorted(apart, key=lambda e: (e.opened_at, e.id))


@bounded
@given(histories(), NOW)
def test_facts_and_entries_survive_being_written(facts: list[Fact], now: int) -> None:
    found = entries(*facts, now=now)
    assert entries(*(decode(encode(fact)) for fact in facts), now=now) == found
    assert [decode_entry(encode_entry(entry)) for entry in found] == found


@bounded
@given(histories(), NOW)
def test_every_refund_stands_in_exactly_one_entry(facts: list[Fact], now: int) -> None:
    known = derive(facts, POLICY, now)
    assert len(by_id(known.entries)) == len(known.entries)
    there = Counter(r for entry in known.entries for r in entry.gateway_refunds)
    folded = {returned.refund for returned in fold_gateway(facts)[1]}
    assert set(there) <= folded
    assert {r for r in folded if r.kind != "void"} <= set(there)  # a void of nothing opens nothing
    assert set(there.values()) <= {1}

    recorded = Counter(r.id for entry in known.entries for r in entry.storefront_refunds)
    assert set(recorded.values()) <= {1}
    for one in known.orders:
        if one.total is None or any(snapshot.payment_status == "voided" for snapshot in one.timeline):
            continue  # what that recorded depends on what was captured
        mine = [r for e in known.entries if e.order_id == one.order_id and e.store == one.store
                for r in e.storefront_refunds]  # fmt: skip
        assert {(r.id, r.amount, r.at) for r in mine} == {(r.id, r.amount, r.at) for r in storefront_refunds(one, None)}


@bounded
@given(histories())
def test_recorded_refunds_add_up_to_the_refunded_total(facts: list[Fact]) -> None:
    for one in derive(facts, POLICY, LATER).orders:
        told = [s.refunded for s in one.timeline]
        refunds = storefront_refunds(one, 10000)
        assert all(r.amount is None or r.amount >= 0 for r in refunds)
        if one.payment_status == "voided" and told[-1] == 0:
            continue  # the storefront's sum of refunds says nothing of what the void returned
        if told and told[-1] is not None:
            assert sum(r.amount or 0 for r in refunds) == told[-1]
            assert all(r.verified for r in refunds)


@bounded
@given(histories(), NOW)
def test_amounts_and_times_agree_with_members_and_status(facts: list[Fact], now: int) -> None:
    for e in entries(*facts, now=now):
        gone = sum(r.returned for r in e.gateway_refunds)
        coming = sum(r.amount for r in e.gateway_refunds if r.status == "pending")
        assert e.gateway_amount in ((gone, gone + coming) if e.gateway_refunds else (None,))
        if e.status not in ("pending", "resolved") and e.gateway_refunds:
            assert e.gateway_amount == gone
        told = [r.amount for r in e.storefront_refunds]
        assert e.storefront_amount == (sum(a or 0 for a in told) if told and None not in told else None)
        assert (e.expected_amount is not None) == (e.anchor[0] == "cancelled")
        assert (e.matched_at is not None) == (e.status == "matched")
        assert (e.status in ("matched", "closed", "pending")) <= (e.reason is None)
        if e.status == "matched":
            assert e.gateway_refunds
            assert not coming
            assert e.difference in (0, None)
            assert e.lag is not None
            assert e.lag >= 0
            assert not (e.verified and e.difference is None)
        if e.status == "unmatched":
            assert e.reason is not None
        if e.reason == "amount_mismatch":
            assert e.difference
        times = [*(r.at for r in e.gateway_refunds), *(r.at for r in e.storefront_refunds)]
        assert e.opened_at <= min(times, default=e.opened_at)


@bounded
@given(histories())
def test_no_more_is_asked_of_a_cancelled_order_than_was_captured(facts: list[Fact]) -> None:
    known = derive(facts, POLICY, LATER)
    for e in known.entries:
        if e.reason != "cancelled_not_refunded":
            continue
        others = [o for o in known.entries if (o.store, o.order_id) == (e.store, e.order_id) and o.id != e.id]
        [one] = [o for o in known.orders if (o.store, o.order_id) == (e.store, e.order_id)]
        captured = sum(p.captured or 0 for p in fold_gateway(facts)[0])
        spoken = sum(
            max(o.gateway_amount or 0, o.storefront_amount or 0) for o in others if o.status in ("matched", "unmatched")
        )
        assert (e.expected_amount or 0) + spoken <= max(captured, one.total or 0)


@bounded
@given(histories(), NOW, NOW)
def test_time_changes_only_what_is_due(facts: list[Fact], one: int, other: int) -> None:
    early, late = by_id(entries(*facts, now=min(one, other))), by_id(entries(*facts, now=max(one, other)))
    assert early.keys() == late.keys()
    for key, before in early.items():
        after = late[key]
        if before.due_at is None or before.due_at > max(one, other):
            assert after == before
            continue
        assert (before.status, after.status) in (("pending", "unmatched"), ("resolved", "resolved"))
        assert (before.reason, after.due_at) == (None, None)
        assert after.reason is not None
        assert after == replace(
            before,
            status=after.status,
            reason=after.reason,
            gateway_amount=after.gateway_amount,
            explanation=after.explanation,
            due_at=None,
        )


@bounded
@given(histories(), NOW)
def test_due_at_tells_exactly_when(facts: list[Fact], now: int) -> None:
    for entry in entries(*facts, now=now):
        assert (entry.status == "pending") <= (entry.due_at is not None)
        if entry.due_at is not None:
            assert now < entry.due_at
            before, then = (by_id(entries(*facts, now=t))[entry.id] for t in (entry.due_at - 1, entry.due_at))
            assert (before.reason, before.due_at) == (None, entry.due_at)
            assert then.status in ("unmatched", "resolved")


@bounded
@given(histories(), NOW)
def test_a_fact_that_does_not_concern_an_entry_changes_nothing(facts: list[Fact], now: int) -> None:
    before, after = by_id(entries(*facts, now=now)), by_id(entries(*facts, *STRANGERS, now=now))
    assert all(after[key] == entry for key, entry in before.items())
    assert len(after) == len(before) + 1


@bounded
@given(histories(), NOW)
def test_what_is_resolved_stays_so_until_it_changes(facts: list[Fact], now: int) -> None:
    seen = [e for e in entries(*facts, now=now) if e.status in ("pending", "unmatched")]
    resolves = [decided("resolve", entry, 2000, id=f"resolve-{entry.id}") for entry in seen]
    after = by_id(entries(*facts, *resolves, *STRANGERS, now=LATER + 90 * DAY))
    assert all(after[entry.id].status == "resolved" for entry in seen)

    named = {
        (r.source, r.id) for e in seen for r in e.gateway_refunds if r.kind == "refund" and r.status == "succeeded"
    }
    assume(named)
    source, name = min(named)
    facts_of_it = [f for f in facts if isinstance(f, RefundFact) and (f.source, f.id) == (source, name)]
    last = fold_gateway(facts_of_it)[1][0].refund
    changed = replace(facts_of_it[0], kind="refund", status="succeeded", amount=last.amount + 7, as_of=at(1900))
    [entry] = [
        e
        for e in entries(*facts, *resolves, changed, now=LATER)
        if (source, name) in {(r.source, r.id) for r in e.gateway_refunds}
    ]
    assert entry.status != "resolved"


@bounded
@given(st.lists(ANY_FACT, max_size=8), NOW)
def test_nothing_that_is_well_typed_fails(facts: list[Fact], now: int) -> None:
    found = entries(*facts, now=now)
    assert [decode_entry(encode_entry(entry)) for entry in found] == found
    assert all(entry_json(entry)["explanation"] for entry in found)
    assert all(entry.amount_at_stake is None or entry.source for entry in found)
    assert [decode(encode(fact)) for fact in facts] == facts
    assert all(len(found_at(f)) > 0 for f in facts if not isinstance(f, PaymentFact))
