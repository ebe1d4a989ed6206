"""One plain sentence for every entry: which rule made it, and from which facts."""

from collections.abc import Iterable, Mapping

from ledger.entries import GatewayRefund, Status, StorefrontRefund
from ledger.instants import Instant, to_rfc3339
from ledger.money import to_decimal
from ledger.orders import Order
from ledger.pairing import Group
from ledger.payments import Captured

NAMED_MAX = 3


def explain(
    group: Group,
    order: Order | None,
    captured: Captured | None,
    how: Mapping[tuple[str, str], str],
    status: Status,
    due_at: Instant | None,
) -> str:
    """The sentence for a group of refunds."""
    gateway = _list(_gateway(g) for g in group.gateway)
    storefront = _list(_storefront(s) for s in group.storefront)
    where = f"order {order.order_id} of {order.store}" if order else "no known order"
    text = _SENTENCES[group.reason or _agreement(group)].format(
        gateway=gateway,
        storefront=storefront,
        where=where,
        rule=group.rule,
        captured=_money(captured.amount, captured.currency or "") if captured else "",
    )
    if found := sorted({how[g.source, g.id] for g in group.gateway if how.get((g.source, g.id))}):
        text += f" (order {_list(found)})"
    unfinished = any(g.status == "pending" for g in group.gateway)
    if status == "pending" and due_at is not None:
        why = "the gateway has not finished" if unfinished else "waiting"
        text += f"; {why}, until {to_rfc3339(due_at)}"
    elif unfinished and not group.at_once:
        text += "; the gateway has not finished it within the limit for pending refunds"
    return text[0].upper() + text[1:] + "."


def _agreement(group: Group) -> str:
    if group.closed:
        return "closed"
    return "settled" if group.other_side_at is not None else "matched"


_SENTENCES = {
    "matched": "{gateway} and {storefront} on {where} agree: {rule}",
    "settled": "{gateway} settles the cancellation of {where}",
    "closed": "{gateway}{storefront} on {where} is closed: {rule}",
    "missing_in_storefront": "{gateway} is not recorded on {where}",
    "missing_in_gateway": "{storefront} on {where} has no gateway refund that pays it",
    "refund_failed": "{storefront} on {where} is not paid in full by {gateway}: {rule}",
    "amount_mismatch": "{gateway} and {storefront} on {where} differ in amount: {rule}",
    "currency_mismatch": "{gateway} and {storefront} on {where} are in different currencies: {rule}",
    "over_refunded": "{gateway} on {where} goes beyond the {captured} that was captured",
    "order_unknown": "no order carries the payment or order reference of {gateway}",
    "order_ambiguous": "several orders carry the reference of {gateway}",
}


def explain_cancelled(order: Order, captured: Captured, missing: int, status: Status, due_at: Instant | None) -> str:
    """The sentence for what a cancelled order has not given back."""
    currency = captured.currency or ""
    since = to_rfc3339(order.cancelled_at or 0)
    text = f"Order {order.order_id} of {order.store} was cancelled at {since}"
    if status == "closed":
        return f"{text} and is not cancelled any more."
    text += f", and of the {_money(captured.amount, currency)} captured {_money(missing, currency)} has not gone back"
    return f"{text}; waiting, until {to_rfc3339(due_at)}." if due_at is not None else f"{text}."


def _gateway(refund: GatewayRefund) -> str:
    status = "" if refund.status == "succeeded" else f" ({refund.status})"
    return f"{refund.source} {refund.kind} {refund.id} of {_money(refund.amount, refund.currency)}{status}"


def _storefront(refund: StorefrontRefund) -> str:
    if refund.amount is None:
        return "a recorded partial refund of unknown amount"
    return f"the recorded refund of {_money(refund.amount, refund.currency)}"


def _money(amount: int, currency: str) -> str:
    return f"{to_decimal(amount, currency)} {currency}".rstrip()


def _list(texts: Iterable[str]) -> str:
    texts = list(texts)
    if len(texts) > NAMED_MAX:
        texts = [*texts[:NAMED_MAX], f"{len(texts) - NAMED_MAX} more"]
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1] if texts else ""]))
