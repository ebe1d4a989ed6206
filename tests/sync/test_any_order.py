"""Whatever the order, the duplication and the batches in which events come: the ledger is that of their facts."""

import asyncio
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st

from ledger.derive import derive
from ledger.entries import Entry
from ledger.facts import Decision, DisputeFact, Fact, OrderFact, PaymentFact, RefundFact
from ledger.instants import Instant
from storage.database import Database, migrate, open_database
from storage.entries import find_entry
from sync import interpret, pair
from sync.interpret import interpret_batch
from sync.pair import pair_batch
from sync.replay import replay
from tests.sync.build import (
    LATER,
    RULES,
    SOURCES,
    at,
    by_id,
    configured,
    fact_event,
    ledger,
    whole_history,
    work_off,
)

History: TypeAlias = tuple[list[Fact], list[Fact], list[tuple[str, int]]]
Factory: TypeAlias = pytest.TempPathFactory

HOURS = st.integers(1, 200).map(at)
NUMBERS = st.integers(0, 2)
TEXTS = st.sampled_from(((), ("1000",), ("1001",), ("n/a",)))
AMOUNTS = st.sampled_from((500, 1000, 1500, 10000))


@st.composite
def payments(draw: st.DrawFn) -> PaymentFact:
    number = draw(NUMBERS)
    ids = draw(st.sampled_from(((f"pi_{number}",), (f"ch_{number}",), (f"pi_{number}", f"ch_{number}"))))
    captured = draw(st.sampled_from((None, 0, 1500, 10000)))
    return PaymentFact("stripe", ids, draw(HOURS), "GBP", 10000, captured, draw(st.booleans()), draw(TEXTS))


@st.composite
def refunds(draw: st.DrawFn) -> RefundFact:
    number = draw(NUMBERS)
    return RefundFact(
        "stripe",
        f"re_{draw(st.integers(0, 5))}",
        draw(st.sampled_from(("refund", "refund", "void"))),
        draw(st.sampled_from(("pending", "succeeded", "succeeded", "failed"))),
        draw(AMOUNTS),
        draw(st.sampled_from(("GBP", "GBP", "EUR"))),
        draw(HOURS),
        draw(HOURS),
        draw(st.sampled_from(((), (f"pi_{number}",), (f"ch_{number}",)))),
        draw(TEXTS),
    )


@st.composite
def disputes(draw: st.DrawFn) -> DisputeFact:
    direction: Any = draw(st.sampled_from(("withdrawn", "reinstated")))
    ids = (f"pi_{draw(NUMBERS)}",)
    return DisputeFact(
        "stripe", "dp_1", draw(st.sampled_from("abc")), direction, draw(AMOUNTS), "GBP", draw(HOURS), ids
    )


@st.composite
def orders(draw: st.DrawFn) -> OrderFact:
    number = draw(NUMBERS)
    as_of = draw(HOURS)
    return OrderFact(
        draw(st.sampled_from(("shop", "shop", "second"))),
        str(1000 + number),
        draw(st.sampled_from(("event", "event", "read", "document"))),
        as_of,
        draw(st.sampled_from((as_of, as_of + 1, at(250)))),
        draw(st.text("0123456789abcdef", min_size=8, max_size=8)),
        "GBP",
        draw(st.sampled_from((10000, 10000, 0))),
        draw(st.sampled_from((None, 0, 500, 1500, 2000, 10000))),
        draw(st.sampled_from((None, "paid", "paid", "partially_refunded", "refunded", "voided"))),
        draw(st.sampled_from((None, False, False, True))),
        draw(st.sampled_from(((), (f"pi_{number}",), (f"ch_{number}",), ("pi_0",)))),
        None,
        draw(st.sampled_from(((), (str(1000 + number),)))),
    )


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    refund = f"re_{draw(st.integers(0, 5))}"
    action: Any = draw(st.sampled_from(("link", "link", "unlink", "note", "reopen", "assign")))
    anchor = draw(st.sampled_from((("refund", "stripe", refund), ("cancelled", "shop", "1000"))))
    linked = ("shop", str(1000 + draw(NUMBERS))) if action == "link" else ("", "")
    refunds = (f"stripe/{refund}",) if "link" in action else ()
    return Decision(
        draw(st.uuids()).hex, action, draw(HOURS), "ann", "because", "", anchor, refunds, "", *linked
    )  # fmt: skip


FACTS = st.lists(
    refunds() | orders() | refunds() | orders() | payments() | disputes() | decisions(), min_size=3, max_size=14
)
STEPS = st.lists(st.tuples(st.sampled_from(("deliver", "interpret", "pair", "pass time")), st.integers(1, 5)))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its schema: to make one takes longer than to copy it."""
    path = tmp_path_factory.mktemp("empty") / "ledger.db"
    asyncio.run(migrate(f"sqlite:///{path}"))
    return path


# To shrink a failure takes minutes here; the example as it was found says enough.
EXAMPLES = settings(phases=[Phase.explicit, Phase.reuse, Phase.generate])


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Facts; how they arrive, some of them twice; and what happens meanwhile."""
    told = draw(FACTS)
    again = draw(st.lists(st.sampled_from(told), max_size=4)) if told else []
    return told, draw(st.permutations([*told, *again])), draw(STEPS)


@settings(EXAMPLES, max_examples=20)
@given(history=histories())
def test_the_ledger_depends_on_the_facts_alone(history: History, empty: Path, tmp_path_factory: Factory) -> None:
    with copied(empty, tmp_path_factory) as url:
        asyncio.run(_equals_what_the_facts_make(url, *history))


@settings(EXAMPLES, max_examples=5)
@given(history=histories())
def test_a_replay_finds_no_difference(history: History, empty: Path, tmp_path_factory: Factory) -> None:
    with copied(empty, tmp_path_factory) as url:
        entries = asyncio.run(_equals_what_the_facts_make(url, *history))
        for from_bodies in (False, True):
            report = asyncio.run(replay(configured(url), from_bodies=from_bodies))
            assert (report.differences, report.reinterpreted, report.waiting) == ([], 0, 0)
            assert report.compared == len(entries)


@contextmanager
def copied(empty: Path, factory: Factory) -> Iterator[str]:
    folder = factory.mktemp("copy")
    shutil.copy(empty, folder)
    yield f"sqlite:///{folder}/ledger.db"
    shutil.rmtree(folder)


async def _equals_what_the_facts_make(
    url: str, told: Sequence[Fact], arriving: Sequence[Fact], steps: Sequence[tuple[str, int]]
) -> dict[str, Entry]:
    async with open_database(url, "sync") as database:
        await _arrive(database, list(arriving), steps)
        entries = await ledger(database)
        assert entries == by_id(derive(told, RULES, LATER).entries)
        event(f"{min(len(entries), 5)} entries")
        await _former_ids_lead_on(database)
        return entries


async def _arrive(database: Database, arriving: list[Fact], steps: Sequence[tuple[str, int]]) -> None:
    """Some steps in this order; then whatever is left."""
    now: Instant = at(0)
    with pytest.MonkeyPatch.context() as batches:
        for step, size in steps:
            batches.setattr(interpret, "BATCH", size)
            batches.setattr(pair, "BATCH", size)
            if step == "deliver" and arriving:
                await database.append([fact_event(fact) for fact in arriving[:size]])
                del arriving[:size]
            elif step == "interpret":
                await interpret_batch(database, SOURCES, now)
            elif step == "pair":
                await pair_batch(database, RULES, now)
            else:
                now += at(size * 20) - at(0)
        if arriving:
            await database.append([fact_event(fact) for fact in arriving])
        await work_off(database, LATER)


async def _former_ids_lead_on(database: Database) -> None:
    """Every id that ever was answers; unless what it stood for never was, as a late snapshot can show."""
    last = {row[0]: row for row in await whole_history(database)}
    async with database.read() as conn:
        for entry_id, row in last.items():
            if await find_entry(conn, entry_id) is None:
                event("an entry that nothing continues")
                while continued := re.fullmatch(r"Continued as entry (\w+)\.", row[5]):
                    row = last[continued[1]]  # noqa: PLW2901 - what became of it in the end
                assert row[5] == "Nothing is left of it."
