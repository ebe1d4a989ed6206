"""What polling fetched goes into the journal, on the same way as a webhook."""

from collections.abc import Mapping
from typing import Any

from ledger.facts import Fact
from ledger.instants import Instant
from sources import imports
from sources.base import Event, Message, NotUnderstood, Source
from sources.polling import Fetched
from storage.database import Database
from storage.journal import Journal, NewEvent
from storage.polling import known_keys, waiting_events
from sync.news import known

ANSWER = "api."
"""The types of messages that are the state of a thing, and not an event of the other side."""

WAITING_MAX = 1_000
"""Events that wait to be interpreted, and are looked at to see what is known: the newest."""


class Fetcher:
    """Journals what one source tells when it is asked."""

    def __init__(self, db: Database, journal: Journal, source: Source[Any]) -> None:
        self._db = db
        self._journal = journal
        self._source = source

    async def store(self, fetched: Fetched) -> int:
        """Append what is news; how much of it nothing had told of before. Raises StorageUnavailable.

        An event of the other side is news where no webhook brought it, a state where it differs from what is known.
        """
        events, states, recovered = await self._sorted(fetched)
        messages = [*events, *states]
        new = await self._journal.append([self._new_event(m, fetched.as_of) for m in messages])
        return sum(new[: len(events)]) + recovered

    async def would_recover(self, fetched: Fetched) -> int:
        """What `store` would return; nothing is written."""
        events, _, recovered = await self._sorted(fetched)
        async with self._db.read() as conn:
            there = await known_keys(conn, self._source.name, [m.key for m in events if m.key is not None])
        return sum(m.key not in there for m in events) + recovered

    async def _sorted(self, fetched: Fetched) -> tuple[list[Message], list[Message], int]:
        """The events, the states that are news, and how many of these tell of money that nothing had told of."""
        events = [m for m in fetched.messages if not m.type.startswith(ANSWER)]
        states = [m for m in fetched.messages if m.type.startswith(ANSWER)]
        told = [(m, self._facts(self._event(m, fetched.as_of))) for m in states]
        async with self._db.read() as conn:
            # Before the facts: what is interpreted in between is in one of the two.
            waiting = await waiting_events(conn, self._source.name, WAITING_MAX) if states else []
            arrived = [fact for event in waiting for fact in self._facts(event) or ()]
            before = await known(conn, [fact for _, facts in told for fact in facts or ()], arrived)
        news = [m for m, facts in told if facts is None or not all(map(before.has, facts))]
        return events, news, sum(any(map(before.money_moved, facts)) for _, facts in told if facts is not None)

    def _facts(self, event: Event) -> list[Fact] | None:
        """What the event says; None where it is not understood: then it is kept, and set aside in its turn."""
        try:
            return imports.facts_of(self._source, event)
        except NotUnderstood:
            return None

    def _event(self, message: Message, as_of: Instant) -> Event:
        return Event(0, self._source.name, message.key or "", message.type, message.body, as_of)

    def _new_event(self, message: Message, as_of: Instant) -> NewEvent:
        headers: Mapping[str, str] = {}
        return NewEvent(self._source.name, message.key, message.type, "poll", as_of, headers, message.body)
