"""From a group of refunds to an entry: its status now, when that changes by itself, and one sentence of why."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

from msgspec import Struct

from ledger.entries import Entry, GatewayRefund, Reason, Status, Suggestion
from ledger.explain import explain, explain_cancelled
from ledger.facts import order_ref, refund_ref
from ledger.instants import Instant
from ledger.orders import Order
from ledger.pairing import Group
from ledger.payments import Captured
from ledger.policy import Policy


class Bucket(Struct, frozen=True, gc=False):
    """What the groups of one order (or of one refund without an order) have in common."""

    order: Order | None
    captured: Captured | None
    how: Mapping[tuple[str, str], str]
    """How the order of each gateway refund was found, by source and id."""
    policy: Policy
    now: Instant
    candidates: tuple[Suggestion, ...] = ()
    failed_at: Mapping[tuple[str, str], Instant] = {}
    """When each gateway refund failed that did, by source and id."""


class Verdict(Struct, frozen=True, gc=False):
    """The status of an entry, and when the passing of time alone changes it."""

    status: Status
    reason: Reason | None
    due_at: Instant | None = None


def entry_of(group: Group, bucket: Bucket) -> Entry | None:
    """The entry of a group; None where all of it is older than the ledger."""
    times = [*(g.at for g in group.gateway), *(s.at for s in group.storefront)]
    if group.other_side_at is not None:
        times.append(group.other_side_at)
    failed = [bucket.failed_at.get((g.source, g.id), 0) for g in group.gateway if group.reason == "refund_failed"]
    if max(times + failed) < bucket.policy.ledger_start:
        return None
    verdict = judge(group, bucket)
    on_its_way = verdict.status == "pending"
    gateway_amount = _sum(g.amount if on_its_way and g.status == "pending" else g.returned for g in group.gateway)
    storefront_amount = _sum(s.amount for s in group.storefront)
    currency = group.gateway[0].currency if group.gateway else group.storefront[0].currency
    expects = _sum(g.amount for g in group.gateway if g.status in ("succeeded", "pending"))
    order = bucket.order
    anchor = _anchor(group, order)
    return Entry(
        id=entry_id(anchor),
        store=order.store if order else None,
        order_id=order.order_id if order else None,
        status=verdict.status,
        reason=verdict.reason,
        verified=bool(group.storefront) and all(s.verified for s in group.storefront),
        currency=currency,
        gateway_amount=gateway_amount,
        storefront_amount=storefront_amount,
        expected_amount=None,
        gateway_refunds=group.gateway,
        storefront_refunds=group.storefront,
        opened_at=min(times),
        matched_at=max(times) if verdict.status == "matched" else None,
        explanation=explain(group, bucket.order, bucket.captured, bucket.how, verdict.status, verdict.due_at),
        suggestions=bucket.candidates,
        due_at=verdict.due_at,
        home=order_ref(order.store, order.order_id) if order else refund_ref(*anchor[1:]),
        anchor=anchor,
        fingerprint=_fingerprint(
            _in_the_end(group),
            currency,
            *(f"{g.source}/{g.id}" for g in group.gateway),
            *(s.id for s in group.storefront),
            expects,
            storefront_amount,
        ),
        unconfigured=group.unconfigured,
    )


def judge(group: Group, bucket: Bucket) -> Verdict:
    """The status of a group at `bucket.now`."""
    if group.closed:
        return Verdict("closed", None)
    if group.at_once:
        return Verdict("unmatched", group.reason)
    unfinished = [g.at for g in group.gateway if g.status == "pending"]
    if unfinished:
        limit = max(unfinished) + bucket.policy.pending_limit
        if bucket.now < limit:
            return Verdict("pending", None, limit)
        return Verdict("unmatched", "missing_in_gateway")
    if group.reason is None:
        return Verdict("matched", None)
    due = max(
        *(g.at + bucket.policy.grace_for(g.source) for g in group.gateway),
        *(s.at + bucket.policy.grace_for(bucket.order.store if bucket.order else "") for s in group.storefront),
        0,
    )
    return Verdict("pending", None, due) if bucket.now < due else Verdict("unmatched", group.reason)


def _in_the_end(group: Group) -> str | None:
    """What the group comes to when nothing but time passes: its reason, or that there is none."""
    if group.closed:
        return "closed"
    stuck = not group.at_once and any(g.status == "pending" for g in group.gateway)
    return "missing_in_gateway" if stuck else group.reason


def cancelled_entry(groups: Iterable[Group], bucket: Bucket) -> Entry | None:
    """What a cancelled order still has to give back, beyond what other entries already speak of."""
    order, captured = bucket.order, bucket.captured
    if order is None or order.cancelled_at is None or captured is None or captured.currency is None:
        return None
    groups = [g for g in groups if not g.closed]
    if any(_in_another_currency(group, captured.currency) for group in groups):
        return None  # amounts cannot be compared
    missing = captured.amount - sum(_spoken_of(group, captured.currency) for group in groups)
    if missing <= 0 or order.cancelled_at < bucket.policy.ledger_start:
        return None
    due = order.cancelled_at + bucket.policy.grace_for(order.store)
    verdict = Verdict("unmatched", "cancelled_not_refunded")
    if not order.cancelled:
        verdict = Verdict("closed", None)
    elif bucket.now < due:
        verdict = Verdict("pending", None, due)
    anchor = ("cancelled", order.store, order.order_id)
    return Entry(
        id=entry_id(anchor),
        store=order.store,
        order_id=order.order_id,
        status=verdict.status,
        reason=verdict.reason,
        verified=False,
        currency=captured.currency,
        gateway_amount=None,
        storefront_amount=None,
        expected_amount=missing,
        gateway_refunds=(),
        storefront_refunds=(),
        opened_at=order.cancelled_at,
        matched_at=None,
        explanation=explain_cancelled(order, captured, missing, verdict.status, verdict.due_at),
        suggestions=(),
        due_at=verdict.due_at,
        home=order_ref(order.store, order.order_id),
        anchor=anchor,
        # Cancelled anew is another case than the one that somebody closed; heard of late that it was earlier is none.
        fingerprint=_fingerprint(
            "cancelled" if order.cancelled else "closed", captured.currency, missing, order.cancellations
        ),
    )


def _in_another_currency(group: Group, currency: str) -> bool:
    """Whether money went back in another currency, or is to go back and only another one says how much."""
    live = [g for g in group.gateway if _live([g])]
    return any(g.currency != currency for g in live or group.storefront)


def _spoken_of(group: Group, currency: str) -> int:
    """What of the captured money the group's entry is about."""
    return max(_live(group.gateway), sum(s.amount or 0 for s in group.storefront if s.currency == currency))


def entry_id(anchor: tuple[str, ...]) -> str:
    """The id of the entry that this member names."""
    return blake2b("\0".join(anchor).encode(), digest_size=16).hexdigest()


def _anchor(group: Group, order: Order | None) -> tuple[str, ...]:
    if group.gateway:
        return ("refund", group.gateway[0].source, group.gateway[0].id)
    assert order is not None  # what was recorded was recorded on an order
    return ("recorded", order.store, order.order_id, group.storefront[0].id)


def _fingerprint(*parts: object) -> str:
    return blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def fingerprints_of(entry: Entry) -> tuple[str, ...]:
    """Its own, and the one that it had before cancellations were counted: what was resolved then stays resolved."""
    if entry.anchor[0] != "cancelled":
        return (entry.fingerprint,)
    former = _fingerprint("cancelled", entry.currency, entry.expected_amount, entry.opened_at)
    return entry.fingerprint, former


def _live(refunds: Sequence[GatewayRefund]) -> int:
    return sum(g.amount for g in refunds if g.status in ("succeeded", "pending"))


def _sum(amounts: Iterable[int | None]) -> int | None:
    """The sum; None where there is nothing to add, or an amount is not known."""
    known = list(amounts)
    return None if not known or None in known else sum(a for a in known if a is not None)
