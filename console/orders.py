"""One order with all that is known of it: what was told, when, by whom, and what the ledger made of it."""

from typing import Any

from msgspec.structs import asdict
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from console import parameters
from console.context import Context
from console.problems import no_such_order
from ledger.belonging import facts_of_order
from ledger.facts import Decision, DisputeFact, Fact, OrderFact, PaymentFact, RefundFact, order_ref
from ledger.orders import Order, fold_order
from ledger.policy import Policy
from ledger.present import amount, entry_json, time
from storage.entries import order_entries
from storage.facts import StoredFact, load_component
from storage.queries import EventLine, event_lines

_NAMES: dict[type[Fact], str] = {
    PaymentFact: "payment",
    RefundFact: "refund",
    DisputeFact: "dispute",
    OrderFact: "order",
    Decision: "decision",
}
_AMOUNTS = ("authorised", "captured", "amount", "total", "refunded")
_TIMES = ("as_of", "at", "arrived_at", "placed_at", "until")
_OF_NO_USE_TO_PEOPLE = ("digest", "anchor", "fingerprint")


async def show_order(context: Context, request: Request) -> Response:
    """The order, its facts, its entries, its events in order."""
    parameters.query(request, ())
    async with context.database.read() as conn:
        page = await order_page(conn, context.policy, request.path_params["source"], request.path_params["order_id"])
    if page is None:
        raise no_such_order()
    return JSONResponse(page)


async def order_page(conn: AsyncConnection, policy: Policy, store: str, order_id: str) -> dict[str, Any] | None:
    """What is known of the order, as JSON; None where this storefront has told of no such order."""
    told, snapshots = await told_of(conn, policy, store, order_id)
    if not snapshots:
        return None
    entries = await order_entries(conn, store, order_id)
    events = await event_lines(conn, {s.journal_id for s in told})
    order = fold_order(snapshots, policy)
    return {
        "order": _order_json(order),
        "facts": [_fact_json(stored, order) for stored in told],
        "entries": [entry_json(entry) for entry in entries],
        "events": [_event_json(event) for event in events],
    }


async def told_of(
    conn: AsyncConnection, policy: Policy, store: str, order_id: str
) -> tuple[list[StoredFact], list[OrderFact]]:
    """What was told of the order, without what belongs to others that hang together with it; its snapshots alone."""
    component = await load_component(conn, [order_ref(store, order_id)])
    theirs = facts_of_order((s.fact for s in component), (store, order_id), policy)
    told = [s for s in component if s.fact in theirs]
    return told, [s.fact for s in told if isinstance(s.fact, OrderFact)]


def _order_json(order: Order) -> dict[str, Any]:
    refunded = next((f.refunded for f in reversed(order.timeline) if f.refunded is not None), None)
    return {
        "store": order.store,
        "order_id": order.order_id,
        "currency": order.currency,
        "total": amount(order.total, order.currency or ""),
        "refunded": amount(refunded, order.currency or ""),
        "payment_status": order.payment_status,
        "cancelled": order.cancelled,
        "cancelled_at": time(order.cancelled_at),
        "method": order.method,
        "transactions": list(order.transactions),
        "placed_at": time(order.placed_at),
    }


def _fact_json(stored: StoredFact, order: Order) -> dict[str, Any]:
    fact = asdict(stored.fact)
    currency = fact.get("currency") or order.currency or ""
    shown = {name: value for name, value in fact.items() if name not in _OF_NO_USE_TO_PEOPLE}
    shown |= {name: amount(fact[name], currency) for name in _AMOUNTS if name in fact}
    shown |= {name: time(fact[name]) for name in _TIMES if name in fact}
    return {"fact": _NAMES[type(stored.fact)], "event": stored.journal_id, **shown}


def _event_json(event: EventLine) -> dict[str, Any]:
    return {
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "via": event.via,
        "received_at": time(event.received_at),
    }
