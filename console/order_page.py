"""One order: what each side told of it, in order of time, and what the ledger made of that."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from console.context import Context
from console.drawing import money
from console.masking import masked
from console.orders import told_of
from console.pages import page
from console.problems import no_such_order
from ledger.facts import Decision, DisputeFact, Fact, OrderFact, PaymentFact, RefundFact
from ledger.instants import Instant
from ledger.orders import fold_order
from storage.entries import order_entries
from storage.facts import Received, StoredFact, load_events

EVENTS_MAX = 50
"""Events whose bodies are shown, the newest."""


@dataclass(frozen=True)
class Moment:
    """Something that somebody told, on the time line."""

    at: Instant
    side: str
    """`gateway`, `storefront` or `operator`."""
    who: str
    what: str
    is_bad: bool = False


@dataclass(frozen=True)
class RawEvent:
    """An event of the journal, masked."""

    id: int
    source: str
    type: str
    via: str
    received_at: Instant
    body: str


async def show_order_page(context: Context, request: Request) -> Response:
    """The page."""
    store, order_id = request.path_params["store"], request.path_params["order_id"]
    async with context.database.read() as conn:
        told, snapshots = await told_of(conn, context.policy, store, order_id)
        if not snapshots:
            raise no_such_order()
        entries = await order_entries(conn, store, order_id)
        events = sorted({s.journal_id for s in told})
        raw = await load_events(conn, events[-EVENTS_MAX:])
    return page(
        context,
        request,
        "order.html",
        order=fold_order(snapshots, context.policy),
        entries=entries,
        is_refunded=any(_tells_of_refund(stored.fact) for stored in told),
        line=_time_line(told),
        # Beside the loop: other people's pages do not wait for the bodies of one order.
        events=await asyncio.to_thread(lambda: [_raw(one) for one in raw]),
        hidden=max(len(events) - EVENTS_MAX, 0),
    )


def _tells_of_refund(fact: Fact) -> bool:
    if isinstance(fact, OrderFact):
        return fact.payment_status in ("partially_refunded", "refunded")
    return isinstance(fact, RefundFact | DisputeFact)


def _raw(one: Received) -> RawEvent:
    event = one.event
    return RawEvent(event.id, event.source, event.type, one.via, event.received_at, masked(event.body))


def _time_line(told: Iterable[StoredFact]) -> list[Moment]:
    """What was told, oldest first; what is only told again is left out."""
    moments = sorted((_moment(stored.fact) for stored in told), key=lambda m: (m.at, m.side, m.what))
    line: list[Moment] = []
    told_by: dict[str, set[str]] = {}
    for moment in moments:
        known = told_by.setdefault(moment.who, set())
        if moment.what not in known or moment.side == "operator":
            line.append(moment)
        # A gateway's statements each stand for themselves; a storefront's say how the order is until the next.
        if moment.side == "storefront":
            known.clear()
        known.add(moment.what)
    return line


def _moment(fact: Fact) -> Moment:
    match fact:
        case PaymentFact():
            return Moment(fact.as_of, "gateway", fact.source, _payment(fact))
        case RefundFact():
            bad = fact.status in ("failed", "canceled")
            amount = money(fact.amount, fact.currency)
            return Moment(fact.as_of, "gateway", fact.source, f"{fact.kind} {fact.id}, {amount}: {fact.status}", bad)
        case DisputeFact():
            how = "taken by" if fact.direction == "withdrawn" else "given back in"
            amount = money(fact.amount, fact.currency)
            return Moment(fact.at, "gateway", fact.source, f"{amount} {how} chargeback {fact.dispute_id}", is_bad=True)
        case OrderFact():
            return Moment(min(fact.as_of, fact.arrived_at), "storefront", fact.store, _snapshot(fact))
        case Decision():
            return Moment(fact.at, "operator", fact.actor, _decision(fact))


def _payment(fact: PaymentFact) -> str:
    if fact.voided:
        return "payment released"
    if fact.captured:
        return f"payment of {money(fact.captured, fact.currency or '')} captured"
    if fact.authorised:
        return f"payment of {money(fact.authorised, fact.currency or '')} authorised"
    return "told of the payment"


def _snapshot(fact: OrderFact) -> str:
    says = [(fact.payment_status or "payment status not told").replace("_", " ")]
    if fact.refunded:
        says.append(f"refunded so far {money(fact.refunded, fact.currency or '')}")
    if fact.cancelled:
        says.append("cancelled")
    return ", ".join(says)


def _decision(fact: Decision) -> str:
    about = {"link": f"to order {fact.order_id} of {fact.store}", "unlink": "", "reopen": "", "snooze": ""}
    return f"{fact.action} {about.get(fact.action, fact.text)}".strip()
