"""What is to be told, to customers by mail and to receivers of exceptions, and what has been."""

import secrets
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, get_args

from sqlalchemy import ColumnElement, delete, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.instants import Instant
from storage.meta import keep
from storage.rows import delete_rows, insert_rows
from storage.schema import customer_notices, meta, outgoing_notices

State = Literal["waiting", "sending", "sent", "failed", "unknown"]
"""`sending`: somebody has it in hand; due again when that can no longer be. `failed`: it will not be sent.
`unknown`: it was in hand when the process ended or the connection broke, so it may have been sent."""
STATES: tuple[State, ...] = get_args(State)


class CustomerNoticeLine(NamedTuple):
    """The message to the customer of one gateway refund."""

    id: int
    source: str
    refund_id: str
    state: State
    made_at: Instant
    changed_at: Instant
    attempts: int
    reason: str
    """Why it is not sent; empty where there is nothing to say."""


class OutgoingNotice(NamedTuple):
    """A message for one receiver."""

    id: int
    message_id: str
    """The same however often it is sent, and of no other message."""
    made_at: Instant
    attempts: int
    body: str


_SINCE = "customer_notices_since"
_LINES = select(*(customer_notices.c[name] for name in CustomerNoticeLine._fields))
_OUTGOING = select(*(outgoing_notices.c[name] for name in OutgoingNotice._fields)).order_by(outgoing_notices.c.id)

# Alike on both databases. What is there stays: a refund is told once.
_ADD_CUSTOMER = text(
    "INSERT INTO customer_notices (source, refund_id, state, due_at, made_at, changed_at, attempts, reason)"
    " VALUES (:source, :refund_id, 'waiting', :now, :now, :now, 0, '') ON CONFLICT DO NOTHING"
)


async def customer_notices_since(conn: AsyncConnection, now: Instant) -> Instant:
    """Since when customers are told; from now on, where they were not."""
    return int(await keep(conn, _SINCE, str(now)))


async def end_customer_notices(conn: AsyncConnection) -> None:
    """Customers are told no longer; what waits is dropped, or it would go out when they are told again."""
    await conn.execute(delete(meta).where(meta.c.key == _SINCE))
    await conn.execute(delete(customer_notices).where(customer_notices.c.state == "waiting"))


async def add_customer_notices(conn: AsyncConnection, refunds: Iterable[tuple[str, str]], now: Instant) -> None:
    """Have the customers of these refunds told, each as (source, refund id); those that were told are left out."""
    rows = [{"source": source, "refund_id": refund_id, "now": now} for source, refund_id in sorted(refunds)]
    if rows:
        await conn.execute(_ADD_CUSTOMER, rows)


async def due_customer_notices(conn: AsyncConnection, now: Instant, limit: int) -> list[CustomerNoticeLine]:
    """What is due: to be sent, or in hand for longer than can be."""
    due = customer_notices.c.state.in_(("waiting", "sending")) & (customer_notices.c.due_at <= now)
    query = _LINES.where(due).order_by(customer_notices.c.due_at, customer_notices.c.id).limit(limit)
    return [CustomerNoticeLine(*row) for row in await conn.execute(query)]


async def list_customer_notices(conn: AsyncConnection, states: Iterable[State], limit: int) -> list[CustomerNoticeLine]:
    """Those in these states, the newest first."""
    query = _LINES.where(customer_notices.c.state.in_(states)).order_by(customer_notices.c.id.desc()).limit(limit)
    return [CustomerNoticeLine(*row) for row in await conn.execute(query)]


async def take_in_hand(conn: AsyncConnection, line: CustomerNoticeLine, now: Instant, until: Instant) -> bool:
    """Whether what waits is ours to send: of all that try, one has it. From `until` on it counts as given up."""
    taken = {"state": "sending", "due_at": until, "changed_at": now}
    return (await conn.execute(update(customer_notices).where(_still(line)).values(taken))).rowcount == 1


async def settle_customer_notice(
    conn: AsyncConnection, line: CustomerNoticeLine, state: State, now: Instant, *, reason: str = ""
) -> None:
    """It is in this state, for good; nothing where somebody else has changed it since."""
    settled = {"state": state, "changed_at": now, "reason": reason}
    await conn.execute(update(customer_notices).where(_still(line)).values(settled))


async def put_off_customer_notice(
    conn: AsyncConnection, line: CustomerNoticeLine, now: Instant, due_at: Instant, reason: str
) -> None:
    """It was not sent; try it again at that time. Nothing where somebody else has changed it since."""
    later = {"state": "waiting", "changed_at": now, "due_at": due_at, "reason": reason, "attempts": line.attempts + 1}
    await conn.execute(update(customer_notices).where(_still(line)).values(later))


async def drop_customer_notice(conn: AsyncConnection, line: CustomerNoticeLine) -> None:
    """There is nothing to tell any more. Nothing where somebody else has changed it since."""
    await conn.execute(delete(customer_notices).where(_still(line)))


def _still(line: CustomerNoticeLine) -> ColumnElement[bool]:
    return (customer_notices.c.id == line.id) & (customer_notices.c.state == line.state)


async def add_outgoing_notices(
    conn: AsyncConnection, receivers: Iterable[str], bodies: Sequence[str], now: Instant
) -> None:
    """Have each receiver told each of these."""
    rows = [(r, f"msg_{secrets.token_hex(16)}", now, now, 0, body) for r in receivers for body in bodies]
    names = ("receiver", "message_id", "due_at", "made_at", "attempts", "body")
    await insert_rows(conn, outgoing_notices, names, rows)


async def due_outgoing_notices(conn: AsyncConnection, receiver: str, now: Instant, limit: int) -> list[OutgoingNotice]:
    """What a receiver is to be told now, in the order in which it happened."""
    due = (outgoing_notices.c.receiver == receiver) & (outgoing_notices.c.due_at <= now)
    return [OutgoingNotice(*row) for row in await conn.execute(_OUTGOING.where(due).limit(limit))]


async def delete_outgoing_notices(conn: AsyncConnection, ids: Iterable[int]) -> None:
    """They were delivered, or never will be."""
    await delete_rows(conn, outgoing_notices.c.id, ids)


async def put_off_outgoing_notice(conn: AsyncConnection, notice: OutgoingNotice, due_at: Instant) -> None:
    """It was not delivered; try it again at that time."""
    later = {"due_at": due_at, "attempts": notice.attempts + 1}
    await conn.execute(update(outgoing_notices).where(outgoing_notices.c.id == notice.id).values(later))


async def forget_receivers(conn: AsyncConnection, but: Iterable[str]) -> None:
    """Drop what is meant for others than these: nobody would fetch it any more."""
    await conn.execute(delete(outgoing_notices).where(outgoing_notices.c.receiver.not_in(list(but))))
