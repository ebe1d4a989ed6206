"""The ledger as a table."""

import csv
import io
import json

import pytest

import console.export
from ledger.present import entry_json
from storage.entries import write_entries
from tests.console.harness import Desk
from tests.ledger.build import entry as one_entry
from tests.ledger.build import order, refund


async def table(desk: Desk, query: str = "") -> list[dict[str, str]]:
    answer = await desk.viewer.get(f"/api/v1/export.csv{query}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="refund-ledger.csv"'
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


async def test_every_entry_is_a_line_with_what_its_json_says(desk: Desk) -> None:
    await desk.tell(order("partially_refunded", 1500, hours=4), refund("re_1", 1250), refund("re_2", payment_ids=()))
    lines = await table(desk)
    assert len(lines) == 2
    assert tuple(lines[0]) == console.export.COLUMNS
    for line, entry in zip(lines, desk.expected(), strict=True):
        shown = entry_json(entry)
        same = [name for name in line if name in shown and not isinstance(shown[name], list | bool)]
        assert {n: line[n] for n in same} == {n: "" if shown[n] is None else str(shown[n]) for n in same}
    mismatch = next(line for line in lines if line["reason"] == "amount_mismatch")
    assert (mismatch["difference"], mismatch["verified"]) == ("-2.50", "true")
    assert mismatch["gateway_refunds"] == "stripe/re_1"


async def test_an_empty_ledger_is_a_header(desk: Desk) -> None:
    assert await table(desk) == []


async def test_the_export_takes_the_filters_and_no_paging(desk: Desk) -> None:
    await desk.tell(order("partially_refunded", 1500, hours=4), refund("re_1"), refund("re_2", payment_ids=()))
    assert [line["reason"] for line in await table(desk, "?status=unmatched")] == ["order_unknown"]
    assert (await desk.viewer.get("/api/v1/export.csv?limit=5")).status_code == 400
    assert (await desk.viewer.get("/api/v1/export.csv?since=never")).status_code == 400


async def test_a_long_table_is_read_in_pages(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.export, "_PAGE", 10)
    await desk.tell(*(refund(f"re_{i}", hours=i, payment_ids=()) for i in range(25)))
    assert [line["id"] for line in await table(desk)] == [entry.id for entry in desk.expected()]


FORMULAS = ['=HYPERLINK("http://a.example")', "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1"]


async def test_no_text_becomes_a_formula(desk: Desk) -> None:
    entries = [one_entry(order("partially_refunded", 1500, order_id=text)) for text in FORMULAS]
    async with desk.database.write() as conn:
        await write_entries(conn, entries)
    assert {line["order_id"] for line in await table(desk)} == {f"'{text}" for text in FORMULAS}


async def test_quotes_and_line_breaks_stay_inside_their_cell(desk: Desk) -> None:
    text = 'a "b"\r\n;,c'
    entry = one_entry(order("partially_refunded", 1500, order_id=text))
    async with desk.database.write() as conn:
        await write_entries(conn, [entry])
    [line] = await table(desk)
    assert line["order_id"] == text


async def test_a_resolution_is_in_the_table(desk: Desk) -> None:
    await desk.tell(refund("re_1", payment_ids=()))
    async with desk.followed():
        await desk.decide((await desk.entry())["id"], "resolve", reason="=cmd")
    [line] = await table(desk)
    assert (line["status"], line["resolved_by"], line["resolution"]) == ("resolved", "ann", "'=cmd")


def test_the_columns_are_told_by_the_description_of_the_api() -> None:
    from console.openapi import document

    assert ", ".join(console.export.COLUMNS) in json.dumps(document())
