"""Step one: what arrived becomes facts, and the references that they touch are marked for pairing."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.facts import Fact, decode
from ledger.instants import Instant
from sources import imports
from sources.base import Event, NotUnderstood, Source
from sources.registry import OPERATOR
from storage.database import Database
from storage.facts import Received, claim_inbox, store_facts
from storage.polling import Question, add_questions

BATCH = 400
"""Events in one transaction: the listener must not wait long for its turn on SQLite."""

log = logging.getLogger(__name__)

Told: TypeAlias = tuple[list[tuple[Received, list[Fact]]], list[tuple[Received, str]]]
"""What each event says, and why each of the others was not understood."""


async def interpret_batch(db: Database, sources: Mapping[str, Source[Any]], now: Instant) -> list[Received]:
    """Interpret the oldest events that wait, and take them out of the inbox; which they were.

    Their facts are stored in the transaction that takes them out, so a crash repeats none and loses none.
    """
    if db.shared:
        async with db.write() as conn:
            received = await claim_inbox(conn, BATCH)
            if received:
                await _store(conn, interpret(received, sources), sources, now)
        return received
    # There is one sync process: reading needs no transaction of a writer, for which the listener would have to wait.
    async with db.read() as conn:
        received = await claim_inbox(conn, BATCH)
    if received:
        told = interpret(received, sources)
        async with db.write() as conn:
            await _store(conn, told, sources, now)
    return received


async def _store(conn: AsyncConnection, told: Told, sources: Mapping[str, Source[Any]], now: Instant) -> None:
    understood, not_understood = told
    for one, reason in not_understood:
        log.warning("an event is set aside", extra={"event": one.event.id, "reason": reason})
    await store_facts(conn, understood, not_understood, now)
    await add_questions(conn, _questions(understood, sources, now))


def _questions(
    understood: Iterable[tuple[Received, list[Fact]]], sources: Mapping[str, Source[Any]], now: Instant
) -> Iterator[Question]:
    """What the events leave open, and their source can be asked."""
    for event, facts in ((received.event, facts) for received, facts in understood):
        source = sources.get(event.source)
        if source and source.askable and event.type != imports.REFUND:
            yield from (
                Question(source.name, about, since=now, due_at=now) for about in _left_open(source, event, facts)
            )


def _left_open(source: Source[Any], event: Event, facts: list[Fact]) -> list[str]:
    try:
        return source.questions(event, facts)
    except Exception:  # a fault of ours: what the event says is stored all the same
        log.exception("what an event leaves open was not found", extra={"event": event.id})
        return []


def interpret(received: Iterable[Received], sources: Mapping[str, Source[Any]]) -> Told:
    """What each event says; and those that cannot be understood, which never stop the ones behind them, with why."""
    understood, not_understood = [], []
    for one in received:
        try:
            understood.append((one, facts_of(one.event, sources)))
        except NotUnderstood as error:
            not_understood.append((one, str(error)))
        except Exception as error:  # a fault of ours: the event is kept, and redriven when the fault is mended
            log.exception("an event could not be interpreted", extra={"event": one.event.id})
            not_understood.append((one, f"a fault in this program: {type(error).__name__}"))
    return understood, not_understood


def facts_of(event: Event, sources: Mapping[str, Source[Any]]) -> list[Fact]:
    """What an event says. Raises NotUnderstood."""
    if event.source == OPERATOR:
        return [decode(event.body.decode())]
    source = sources.get(event.source)
    if source is None:
        raise NotUnderstood("its source is not configured any more")
    return imports.facts_of(source, event)
