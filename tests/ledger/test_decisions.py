"""What operators decided, laid over the entries."""

import pytest
from msgspec.structs import replace

from ledger.entries import Resolution
from ledger.facts import Fact
from tests.ledger.build import LATER, at, decided, entries, entry, moved, order, paid, refund

MISSING: list[Fact] = [paid(10000), refund("re_1"), order()]


def test_a_resolved_entry_says_who_why_and_when() -> None:
    one = entry(*MISSING, decided("resolve", entry(*MISSING)))
    assert (one.status, one.reason) == ("resolved", "missing_in_storefront")
    assert one.resolution == Resolution("ann", "because", at(100))


def test_a_reopened_entry_is_open_again() -> None:
    seen = entry(*MISSING)
    one = entry(*MISSING, decided("resolve", seen, 100), decided("reopen", seen, 101))
    assert (one.status, one.resolution) == ("unmatched", None)
    again = entry(*MISSING, *(decided(a, seen, h) for h, a in ((100, "resolve"), (101, "reopen"), (102, "resolve"))))
    assert again.status == "resolved"


@pytest.mark.parametrize(
    "change",
    [
        refund("re_1", 1600, as_of=at(99)),
        refund("re_1", status="failed", as_of=at(99)),
        refund("re_1", currency="EUR", as_of=at(99)),
        order("partially_refunded", 1400, hours=99),
        order("partially_refunded", 1500, hours=99),
    ],
    ids=["amount", "came to nothing", "currency", "another member and reason", "came to agree"],
)
def test_a_change_of_reason_members_amounts_or_currency_reopens(change: Fact) -> None:
    assert entry(*MISSING, decided("resolve", entry(*MISSING)), change).status != "resolved"


@pytest.mark.parametrize(
    "change",
    [
        refund("re_1", as_of=at(99)),
        refund("re_9", payment_ids=("pi_9",)),
        order(hours=99, total=12000),
        paid(10000, hours=99),
        order("paid", hours=99, order_id="1002", transactions=(), order_refs=()),
        moved("t1", 100, hours=99),
    ],
    ids=["told again", "another payment's refund", "another total", "payment told again", "another order", "a dispute"],
)
def test_a_change_that_does_not_concern_it_keeps_it_resolved(change: Fact) -> None:
    seen = entry(*MISSING)
    one = next(e for e in entries(*MISSING, decided("resolve", seen), change) if e.id == seen.id)
    assert one.status == "resolved"


def test_what_was_resolved_while_pending_stays_resolved_when_the_grace_period_runs_out() -> None:
    resolve = decided("resolve", entry(*MISSING, now=at(3)), hours=3)
    early, late = (entry(*MISSING, resolve, now=now) for now in (at(4), LATER))
    assert (early.status, late.status) == ("resolved", "resolved")
    assert (early.reason, early.due_at) == (None, at(26))  # it still changes then: its reason comes to light
    assert (late.reason, late.due_at) == ("missing_in_storefront", None)


def test_money_that_moves_after_it_was_written_off_reopens() -> None:
    stuck: list[Fact] = [paid(10000), refund("re_1", status="pending"), order()]
    resolve = decided("resolve", entry(*stuck), hours=400)
    assert entry(*stuck, resolve).status == "resolved"
    one = entry(*stuck, resolve, refund("re_1", as_of=at(500)))
    assert (one.status, one.reason) == ("unmatched", "missing_in_storefront")


def test_an_order_that_is_cancelled_anew_is_not_what_was_resolved() -> None:
    facts: list[Fact] = [paid(), order(), order(hours=10, cancelled=True)]
    facts.append(decided("resolve", entry(*facts)))
    assert entry(*facts, order(hours=10, cancelled=True, origin="poll", arrived_at=at(99))).status == "resolved"
    facts.append(order(hours=200))
    assert entry(*facts).status == "closed"
    assert entry(*facts, order(hours=300, cancelled=True)).status == "unmatched"


def test_a_cancelled_order_stays_resolved_when_a_late_snapshot_says_that_it_was_cancelled_earlier() -> None:
    facts: list[Fact] = [paid(), order(), order(hours=10, cancelled=True)]
    one = entry(*facts, decided("resolve", entry(*facts)), order("paid", 0, hours=9, cancelled=True))
    assert (one.status, one.opened_at) == ("resolved", at(9))


def test_a_cancelled_order_that_was_resolved_before_cancellations_were_counted_stays_so() -> None:
    facts: list[Fact] = [paid(), order(hours=5, cancelled=True)]
    resolved = replace(decided("resolve", entry(*facts)), fingerprint="06da1f18d5b1231d")
    assert entry(*facts, resolved).status == "resolved"
    assert entry(paid(9000), facts[1], resolved).status == "unmatched"
    assert entry(*facts, order(hours=200), order(hours=300, cancelled=True), resolved).status == "unmatched"


def test_what_came_to_agree_says_so_and_not_that_it_was_resolved() -> None:
    matched: list[Fact] = [*MISSING, order("partially_refunded", 1500, hours=9)]
    one = entry(*matched, decided("resolve", entry(*matched)))
    assert (one.status, one.resolution) == ("matched", None)


def test_reopening_an_entry_that_is_gone_reopens_no_other_of_its_order() -> None:
    told: list[Fact] = [paid(10000), order(), order("partially_refunded", 4000, hours=3, cancelled=True)]
    cancelled, missing = entries(*told)
    assert (cancelled.reason, missing.reason) == ("cancelled_not_refunded", "missing_in_gateway")
    told += [decided("resolve", missing, 100), decided("reopen", cancelled, 101), decided("note", cancelled, 102)]
    told += [decided("snooze", missing, 103, until=at(5000)), decided("snooze", cancelled, 104)]
    # The rest goes back and is recorded: the cancellation is settled, and the entry that was resolved has not changed.
    told += [order("refunded", 10000, hours=200, cancelled=True), refund("re_9", 6000, hours=200)]
    kept = next(one for one in entries(*told) if one.id == missing.id)
    assert (kept.status, kept.snoozed_until) == ("resolved", at(5000))
    assert kept.decisions == ("resolve-100", "note-102", "snooze-103")


def test_resolving_what_looked_different_then_resolves_nothing() -> None:
    stale = replace(decided("resolve", entry(*MISSING)), fingerprint="")
    assert entry(*MISSING, stale).status == "unmatched"


def test_the_latest_assignment_and_snooze_hold() -> None:
    seen = entry(*MISSING)
    facts: list[Fact] = [decided("assign", seen, h, text=t) for h, t in ((101, "bob"), (100, "ann"))]
    facts += [decided("snooze", seen, h, until=u) for h, u in ((101, at(300)), (100, at(200)))]
    one = entry(*MISSING, *facts)
    assert (one.assigned_to, one.snoozed_until) == ("bob", at(300))
    one = entry(*MISSING, *facts, decided("assign", seen, 102, text=""), decided("snooze", seen, 102))
    assert (one.assigned_to, one.snoozed_until) == (None, None)


def test_what_is_reopened_is_put_off_no_longer() -> None:
    seen = entry(*MISSING)
    facts: list[Fact] = [decided("snooze", seen, 100, until=at(5000)), decided("resolve", seen, 101)]
    one = entry(*MISSING, *facts, decided("reopen", seen, 102))
    assert (one.status, one.snoozed_until) == ("unmatched", None)


def test_a_snooze_ends_when_what_was_looked_at_changes() -> None:
    snooze = decided("snooze", entry(*MISSING), until=at(300))
    assert entry(*MISSING, snooze).snoozed_until == at(300)
    changed: list[Fact] = [*MISSING, order("partially_refunded", 900, hours=9)]
    assert (entry(*changed, snooze).reason, entry(*changed, snooze).snoozed_until) == ("amount_mismatch", None)


def test_an_entry_lists_its_decisions_in_order_each_once() -> None:
    seen = entry(*MISSING)
    facts: list[Fact] = [decided("note", seen, h) for h in (102, 100, 101)]
    assert entry(*MISSING, *facts, *facts).decisions == ("note-100", "note-101", "note-102")


def test_a_decision_follows_its_gateway_refund_to_the_entry_that_has_it_now() -> None:
    note = decided("note", entry(*MISSING))
    facts: list[Fact] = [*MISSING, refund("re_0", 500), order("partially_refunded", 2000, hours=9)]
    one = entry(*facts, note)
    assert (one.anchor[2], one.decisions) == ("re_0", ("note-100",))


def test_a_decision_follows_its_recorded_refund_to_the_entry_that_has_it_now() -> None:
    recorded: list[Fact] = [paid(10000), order("partially_refunded", 1500, hours=9)]
    note = decided("note", entry(*recorded))
    one = entry(*recorded, refund("re_1"), note)
    assert (one.anchor[0], one.decisions) == ("refund", ("note-100",))


def test_a_decision_on_a_cancelled_order_follows_to_what_became_of_it() -> None:
    cancelled: list[Fact] = [paid(10000), order(cancelled=True)]
    note = decided("note", entry(*cancelled))
    assert entry(*cancelled, note).decisions == ("note-100",)
    one = entry(*cancelled, refund("re_1", 10000), note)
    assert (one.reason, one.decisions) == ("missing_in_storefront", ("note-100",))


def test_a_decision_about_what_is_not_there_concerns_nothing() -> None:
    note = decided("note", entry(*MISSING))
    assert entries(note) == []
    assert entry(refund("re_2"), note).decisions == ()
