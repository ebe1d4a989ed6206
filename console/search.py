"""Finding by what people have in hand: the number of an order, the id of a refund, of a payment or of an entry."""

from starlette.requests import Request
from starlette.responses import Response

from console.context import Context
from console.pages import page
from console.parameters import TEXT_MAX
from ledger.entries import Entry
from ledger.facts import DisputeFact, OrderFact, RefundFact, order_ref, payment_ref, refund_ref
from storage.entries import find_entry, full_id, load_entries
from storage.facts import load_component

FOUND_MAX = 100
ENTRY_ID_MIN = 8


async def show_search(context: Context, request: Request) -> Response:
    """What is known under this text, as it was typed and no more than that."""
    text = request.query_params.get("q", "").strip()[:TEXT_MAX]
    entries, orders = await _find(context, text) if text else ([], [])
    return page(
        context,
        request,
        "search.html",
        text=text,
        orders=orders[:FOUND_MAX],
        entries=entries[:FOUND_MAX],
        most=FOUND_MAX if max(len(orders), len(entries)) > FOUND_MAX else None,
    )


async def _find(context: Context, text: str) -> tuple[list[Entry], list[tuple[str, str]]]:
    """Entries in order of opening, and the orders, each as store and number."""
    policy = context.policy
    refs = [order_ref(store, text) for store in policy.stores]
    refs += [refund_ref(gateway, text) for gateway in policy.gateways]
    async with context.database.read() as conn:
        facts = [stored.fact for stored in await load_component(conn, [*refs, payment_ref(text)])]
        orders = {(f.store, f.order_id) for f in facts if isinstance(f, OrderFact)}
        homes = {order_ref(*order) for order in orders}
        homes |= {refund_ref(f.source, f.id) for f in facts if isinstance(f, RefundFact)}
        homes |= {refund_ref(f.source, f.dispute_id) for f in facts if isinstance(f, DisputeFact)}
        found = await load_entries(conn, homes)
        if len(text) >= ENTRY_ID_MIN and (entry := await find_entry(conn, await full_id(conn, text.lower()))):
            found[entry.id] = entry
    return sorted(found.values(), key=lambda e: (e.opened_at, e.id)), sorted(orders)
