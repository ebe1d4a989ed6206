"""The loop that tells customers that their money went back: once for each refund, or not at all.

Nothing can make sending a mail and remembering it one act. So it is remembered first: whatever was in hand when this
process ended or the connection broke is never sent again, but shown as `unknown`.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from email.message import EmailMessage
from typing import Any, NamedTuple

from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncConnection

from config.notices import CustomerNotice
from ledger.entries import Entry, GatewayRefund
from ledger.facts import OrderFact, refund_ref
from ledger.instants import DAY, SECOND, Instant
from sources.base import Event, Source
from sources.polling import ApiFailed, Poller
from storage.database import Database, StorageUnavailable
from storage.entries import load_entries
from storage.facts import StoredFact, load_component, load_events
from storage.notices import (
    CustomerNoticeLine,
    State,
    drop_customer_notice,
    due_customer_notices,
    put_off_customer_notice,
    settle_customer_notice,
    take_in_hand,
)
from sync.announce import is_told
from sync.mail import HAND_OVER_SECONDS, OFFER_SECONDS, NotCertain, NotTaken, Told, compose, send
from sync.supervise import Stop

LOOK_SECONDS = 2.0
BATCH = 20

IN_HAND = round(10 * (OFFER_SECONDS + HAND_OVER_SECONDS)) * SECOND
"""How long sending one can take at the very most: after that nobody has it in hand any more."""

PAUSES = tuple(minutes * 60 * SECOND for minutes in (1, 5, 15, 60, 180, 360))
"""Before it is tried again, longer each time."""

GIVE_UP_AFTER = 7 * DAY
"""A message about a refund of long ago would only puzzle its reader."""

NO_ORDER = "no order is known for the refund"
NO_ADDRESS = "the order tells no e-mail address that can be used"
FAULT = "a fault of this program, which its log names"

Asking = Callable[[str], Poller]
"""The API of the storefront of this name."""

log = logging.getLogger(__name__)


class Found(NamedTuple):
    """A refund, its order and what was stored of that, the latest first."""

    entry: Entry
    refund: GatewayRefund
    events: list[Event]


class CustomerNotices:
    """Sends what is due, for as long as this process leads."""

    def __init__(
        self,
        db: Database,
        sources: Mapping[str, Source[Any]],
        notice: CustomerNotice,
        counted: Counter,
        clock: Callable[[], Instant],
    ) -> None:
        """`counted` has the label outcome."""
        self._db = db
        self._sources = sources
        self._notice = notice
        self._counted = counted
        self._clock = clock
        for outcome in ("sent", "put_off", "failed", "unknown"):
            counted.labels(outcome)  # from the start, at 0: the first of each would not be seen as a rise

    async def run(self, stop: Stop) -> None:
        """Send until `stop`; a message in hand is finished."""
        while not stop.is_set():
            if await self._db.try_lead():
                await self.step(stop)
            await stop.sleep(LOOK_SECONDS)

    async def step(self, stop: Stop) -> None:
        """Send what is due now. Raises StorageUnavailable."""
        async with self._db.read() as conn:
            due = await due_customer_notices(conn, self._clock(), BATCH)
        async with asking(self._sources) as poller:
            for line in due:
                if stop.is_set():
                    return
                if line.state == "sending":
                    await self._settle(line, "unknown", "the process ended while the message was handed over")
                else:
                    await self._tell(line, poller)

    async def _tell(self, line: CustomerNoticeLine, poller: Asking) -> None:
        try:
            message = await self._message(line, poller)
            if message is None or not await self._take(line):
                return
            line = line._replace(state="sending")
            await send(message, self._notice)
            await self._settle(line, "sent")
        except NotCertain as doubt:
            await self._settle(line, "unknown", str(doubt))
        except NotTaken as refusal:
            await self._not_taken(line, refusal)
        except StorageUnavailable:
            raise
        except Exception:  # in one message it must not stop the others
            log.exception("a message failed", extra={"source": line.source, "refund": line.refund_id})
            if line.state == "sending":
                await self._settle(line, "unknown", FAULT)
            else:
                await self._not_taken(line, NotTaken(FAULT))

    async def _message(self, line: CustomerNoticeLine, poller: Asking) -> EmailMessage | None:
        """None, and the line is dropped, where there is nothing to tell any more. Raises NotTaken."""
        async with self._db.read() as conn:
            found = await find_refund(conn, line.source, line.refund_id)
        if found is None or not is_told(found.refund, self._notice):
            async with self._db.write() as conn:
                await drop_customer_notice(conn, line)
            return None
        told, address = await addressed(found, self._sources, poller, self._clock())
        return compose(self._notice, told, address, self._clock())

    async def _not_taken(self, line: CustomerNoticeLine, refusal: NotTaken) -> None:
        if refusal.permanent or self._clock() - line.made_at > GIVE_UP_AFTER:
            await self._settle(line, "failed", str(refusal))
        else:
            await self._put_off(line, str(refusal))

    async def _take(self, line: CustomerNoticeLine) -> bool:
        now = self._clock()
        async with self._db.write() as conn:
            return await take_in_hand(conn, line, now, now + IN_HAND)

    async def _settle(self, line: CustomerNoticeLine, state: State, reason: str = "") -> None:
        async with self._db.write() as conn:
            await settle_customer_notice(conn, line, state, self._clock(), reason=reason)
        self._say(line, state, reason)

    async def _put_off(self, line: CustomerNoticeLine, reason: str) -> None:
        now = self._clock()
        due_at = now + PAUSES[min(line.attempts, len(PAUSES) - 1)]
        async with self._db.write() as conn:
            await put_off_customer_notice(conn, line, now, due_at, reason)
        self._say(line, "put_off", reason)

    def _say(self, line: CustomerNoticeLine, outcome: str, reason: str) -> None:
        self._counted.labels(outcome).inc()
        if reason:
            about = {"source": line.source, "refund": line.refund_id, "outcome": outcome}
            log.warning("a customer was not told: %s", reason, extra=about)


async def find_refund(conn: AsyncConnection, source: str, refund_id: str) -> Found | None:
    """The refund as it stands; None where no entry has it."""
    stored = await load_component(conn, [refund_ref(source, refund_id)])
    for entry in (await load_entries(conn, {ref for one in stored for ref in one.found})).values():
        for refund in entry.gateway_refunds:
            if (refund.source, refund.id) == (source, refund_id):
                return Found(entry, refund, await _events_of_order(conn, entry, stored))
    return None


@asynccontextmanager
async def asking(sources: Mapping[str, Source[Any]]) -> AsyncIterator[Asking]:
    """The APIs of the storefronts, each opened when it is needed, and paced for as long as the context lasts."""
    pollers: dict[str, Poller] = {}

    def poller(name: str) -> Poller:
        if name not in pollers:
            pollers[name] = sources[name].poller()
        return pollers[name]

    try:
        yield poller
    finally:
        for one in pollers.values():
            await one.close()


async def addressed(found: Found, sources: Mapping[str, Source[Any]], poller: Asking, now: Instant) -> tuple[Told, str]:
    """What to tell and to whom. Raises NotTaken where that is not known."""
    store, order_id = found.entry.store, found.entry.order_id
    source = sources.get(store or "")
    if source is None or store is None or order_id is None:
        raise NotTaken(NO_ORDER)
    address = next(filter(None, map(source.customer_address, found.events)), None)
    if address is None and source.askable:
        address = await _asked_for(source, poller(store), order_id, now)
    if address is None:
        raise NotTaken(NO_ADDRESS)
    return Told(store, order_id, found.refund), address


async def _events_of_order(conn: AsyncConnection, entry: Entry, stored: Iterable[StoredFact]) -> list[Event]:
    told = [
        (one.fact.as_of, one.journal_id)
        for one in stored
        if isinstance(one.fact, OrderFact) and (one.fact.store, one.fact.order_id) == (entry.store, entry.order_id)
    ]
    latest = [journal_id for _, journal_id in sorted(told, reverse=True)[:BATCH]]
    events = {received.event.id: received.event for received in await load_events(conn, latest)}
    return [events[id_] for id_ in latest if id_ in events]


async def _asked_for(source: Source[Any], poller: Poller, order_id: str, now: Instant) -> str | None:
    """The address as the storefront tells it when it is asked. Raises NotTaken where it cannot answer."""
    try:
        answer = await poller.ask(f"order:{order_id}", 0)
    except ApiFailed as failure:
        raise NotTaken(f"the storefront could not be asked for the order: {failure}") from None
    read = (Event(0, source.name, "", m.type, m.body, now) for m in answer.fetched.messages)
    return next(filter(None, map(source.customer_address, read)), None)
