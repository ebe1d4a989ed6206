import pytest

from ledger.entries import Entry, decode_entry, encode_entry
from ledger.facts import Fact
from tests.ledger.build import at, decided, entries, entry, order, paid, refund

OPEN: list[Fact] = [paid(10000), refund("re_1"), order()]
SAMPLES: list[list[Fact]] = [
    OPEN,
    [refund("re_1"), order(), order(order_id="1002")],
    [order("partially_refunded", hours=5)],
    [paid(10000), order(cancelled=True)],
    [*OPEN, decided("resolve", entry(*OPEN)), decided("snooze", entry(*OPEN), until=at(9))],
    [*OPEN, order("partially_refunded", 1500, hours=5)],
]


@pytest.mark.parametrize("one", [e for facts in SAMPLES for e in entries(*facts)])
def test_an_entry_comes_back_as_it_was_written(one: Entry) -> None:
    assert decode_entry(encode_entry(one)) == one


def test_equal_entries_are_written_alike() -> None:
    assert encode_entry(entry(*OPEN)) == encode_entry(entry(*OPEN[::-1]))
