"""What polling fetched goes into the journal, on the same way as a webhook."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ledger.facts import Fact
from ledger.instants import Instant
from sources.base import Event, Message, NotUnderstood, Source
from sources.polling import Fetched
from storage.database import Database
from storage.journal import Journal, NewEvent
from sync.news import known

log = logging.getLogger(__name__)

ANSWER = "api."
"""The types of messages that are the state of a thing, and not an event of the other side."""


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
        events = [m for m in fetched.messages if not m.type.startswith(ANSWER)]
        states, recovered = await self._news([m for m in fetched.messages if m.type.startswith(ANSWER)], fetched.as_of)
        messages = [*events, *states]
        new = await self._journal.append([self._new_event(m, fetched.as_of) for m in messages])
        return sum(new[: len(events)]) + recovered

    async def _news(self, states: Sequence[Message], as_of: Instant) -> tuple[list[Message], int]:
        told = [(message, self._facts(message, as_of)) for message in states]
        async with self._db.read() as conn:
            before = await known(conn, [fact for _, facts in told for fact in facts or ()])
        news = [m for m, facts in told if facts is None or not all(map(before.has, facts))]
        return news, sum(any(map(before.money_moved, facts)) for _, facts in told if facts is not None)

    def _facts(self, message: Message, as_of: Instant) -> list[Fact] | None:
        """What the message says; None where it is not understood: then it is kept, and set aside in its turn."""
        try:
            return self._source.interpret(
                Event(0, self._source.name, message.key or "", message.type, message.body, as_of)
            )
        except NotUnderstood:
            return None

    def _new_event(self, message: Message, as_of: Instant) -> NewEvent:
        headers: Mapping[str, str] = {}
        return NewEvent(self._source.name, message.key, message.type, "poll", as_of, headers, message.body)
