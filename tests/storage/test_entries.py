"""The ledger as it stands, its history, its former ids, its pages and sums."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from storage.database import Database
from storage.entries import (
    EntryCount,
    EntryFilter,
    HistoryLine,
    OpenAmount,
    UnknownCursor,
    _position,
    count_entries,
    entries_after,
    find_entry,
    full_id,
    load_entries,
    load_history,
    open_amounts,
    order_entries,
    page,
    write_entries,
)
from tests.storage.build import NOW, entry


def _line(entry_id: str, explanation: str = "x") -> HistoryLine:
    return HistoryLine(entry_id, NOW, {"status": [None, "unmatched"]}, "unmatched", "", explanation, (1, 2), "ann", "d")


async def test_an_entry_comes_back_as_it_was_written_and_is_replaced_by_its_next_state(database: Database) -> None:
    first, other = entry(1, home=-(2**62)), entry(2, home=2**62, explanation="größer \0")
    async with database.write() as conn:
        await write_entries(conn, [first, other])
        assert await load_entries(conn, [first.home, other.home, 5]) == {first.id: first, other.id: other}
        matched = replace(first, status="matched", reason=None)
        await write_entries(conn, [matched], [other.id])
        assert await load_entries(conn, [first.home, other.home]) == {first.id: matched}


async def test_a_former_id_leads_to_the_current_entry_along_the_whole_chain(database: Database) -> None:
    a, b, c = entry(1), entry(2), entry(3)
    async with database.write() as conn:
        await write_entries(conn, [a], history=[_line(a.id, "a")])
        await write_entries(conn, [b], [a.id], history=[_line(b.id, "b")], aliases={a.id: b.id})
        await write_entries(conn, [c], [b.id], history=[_line(c.id, "c")], aliases={b.id: c.id})
        assert [await find_entry(conn, one.id) for one in (a, b, c)] == [c, c, c]
        assert [line.explanation for line in await load_history(conn, c.id)] == ["a", "b", "c"]
        assert await find_entry(conn, "unknown") is None
        assert await find_entry(conn, "\0\ud800") is None


async def test_an_entry_that_has_its_former_id_back_is_found_under_it(database: Database) -> None:
    a, b = entry(1), entry(2)
    async with database.write() as conn:
        await write_entries(conn, [a])
        await write_entries(conn, [b], [a.id], aliases={a.id: b.id})
        await write_entries(conn, [a], [b.id], aliases={b.id: a.id})
        assert [await find_entry(conn, one.id) for one in (a, b)] == [a, a]
        await write_entries(conn, [], [a.id], aliases={a.id: b.id})
        assert await find_entry(conn, a.id) is None  # a circle of former ids ends


async def test_history_comes_back_as_it_was_written(database: Database) -> None:
    async with database.write() as conn:
        await write_entries(
            conn, [], history=[_line("e1", "größer \0"), replace(_line("e1"), actor=None, decision_id=None)]
        )
        first, second = await load_history(conn, "e1")
    assert first == replace(_line("e1"), explanation="größer ?", caused_by=(1, 2))
    assert (second.actor, second.decision_id) == (None, None)


async def test_an_order_has_its_entries_in_order_of_opening(database: Database) -> None:
    async with database.write() as conn:
        await write_entries(conn, [entry(2), entry(1), entry(3, order_id="1002"), entry(4, store="other")])
        assert await order_entries(conn, "shop", "1001") == [entry(1), entry(2)]
        assert await order_entries(conn, "shop", "\0") == []


async def test_pages_neither_repeat_nor_skip_while_entries_change(database: Database) -> None:
    """Some have the same time; between two pages one goes, one changes and one comes before the cursor."""
    standing = [entry(number, opened_at=NOW + number // 3) for number in range(10, 30)]
    seen: list[str] = []
    async with database.write() as conn:
        await write_entries(conn, standing)
        cursor = None
        for turn in range(10):
            found, cursor = await page(conn, EntryFilter(), 3, cursor)
            seen += [one.id for one in found]
            if cursor is None:
                break
            if turn == 1:
                await write_entries(conn, [entry(1), replace(standing[15], status="matched")], [standing[19].id])
    assert seen == [one.id for one in standing[:19]]


async def test_a_page_that_is_just_full_is_the_last(database: Database) -> None:
    async with database.write() as conn:
        await write_entries(conn, [entry(1), entry(2)])
        assert await page(conn, EntryFilter(), 2) == ([entry(1), entry(2)], None)
        found, cursor = await page(conn, EntryFilter(), 1)
        assert (found, await page(conn, EntryFilter(), 1, cursor)) == ([entry(1)], ([entry(2)], None))


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (EntryFilter(), [1, 2, 3, 4]),
        (EntryFilter(status="matched"), [2]),
        (EntryFilter(reason="missing_in_gateway"), [3]),
        (EntryFilter(source="stripe"), [1, 2, 4]),
        (EntryFilter(source="shop"), [1, 2, 3]),
        (EntryFilter(order_id="1001"), [1, 2, 3]),
        (EntryFilter(since=NOW + 2, until=NOW + 4), [2, 3]),
        (EntryFilter(status="unmatched", source="stripe", order_id="7"), [4]),
        (EntryFilter(source="\0", order_id="\ud800"), []),
    ],
)
async def test_entries_are_filtered(database: Database, chosen: EntryFilter, expected: list[int]) -> None:
    entries = [
        entry(1),
        entry(2, status="matched", reason=None),
        entry(3, reason="missing_in_gateway", gateway_refunds=()),
        entry(4, store="other", order_id="7"),
    ]
    async with database.write() as conn:
        await write_entries(conn, entries)
        found, _ = await page(conn, chosen, 10)
    assert [int(one.id, 16) for one in found] == expected


@given(st.text() | st.binary().map(lambda raw: raw.hex()))
def test_a_cursor_that_no_page_gave_out_is_told(cursor: str) -> None:
    with pytest.raises(UnknownCursor):
        _position(cursor)


async def test_the_ledger_is_counted_and_what_is_unmatched_summed(database: Database) -> None:
    entries = [
        entry(1),
        entry(2),
        entry(3, currency="EUR", gateway_amount=None),
        entry(4, status="matched", reason=None, verified=False),
    ]
    async with database.write() as conn:
        await write_entries(conn, entries)
        counts, sums = await count_entries(conn), await open_amounts(conn)
    assert set(counts) == {
        EntryCount("stripe", "unmatched", "amount_mismatch", verified=True, count=3),
        EntryCount("stripe", "matched", "", verified=False, count=1),
    }
    assert set(sums) == {
        OpenAmount("stripe", "amount_mismatch", "GBP", count=2, amount=500, oldest=NOW + 1),
        OpenAmount("stripe", "amount_mismatch", "EUR", count=1, amount=0, oldest=NOW + 3),
    }


async def test_the_start_of_an_id_is_enough_where_only_one_starts_so(database: Database) -> None:
    first, second = entry(0, id="ab12" * 8), entry(0, id="ab99" * 8)
    async with database.write() as conn:
        await write_entries(conn, [first, second])
        assert [await full_id(conn, start) for start in ("ab1", "ab", "c", first.id)] == [first.id, "ab", "c", first.id]


async def test_all_entries_can_be_read_in_order_of_id(database: Database) -> None:
    async with database.write() as conn:
        await write_entries(conn, [entry(3), entry(1), entry(2)])
        assert await entries_after(conn, "", 2) == [entry(1), entry(2)]
        assert await entries_after(conn, entry(2).id, 2) == [entry(3)]
