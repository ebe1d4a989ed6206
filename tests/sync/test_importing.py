"""Reports: read whatever program wrote them, imported whole or not at all, once; and foreseen before."""
# ruff: noqa: ANN401 - settings have many types

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ledger.instants import from_rfc3339
from sources.imports import Form
from storage.database import Database
from storage.dead_letters import count_backlog
from storage.entries import entries_after
from storage.facts import facts_after
from storage.schema import inbox, journal, marks
from sync.importing import ImportReport, Report, foresee_import, import_report
from sync.report_file import Layout, ReportUnusable, Row, rows
from tests.sync.build import LATER, RULES, SOURCES, deliver, order, refund, work_off

NOW = from_rfc3339("2025-03-10T00:00:00Z")
HEADER = "Refund,Status,Amount,Currency,Made,Payment"
FIRST = "re_1,succeeded,15.00,GBP,2025-03-01T02:00:00Z,pi_1"
SECOND = "re_2,succeeded,7.50,GBP,2025-03-02T02:00:00Z,pi_2"
COLUMNS = {
    "id": "Refund",
    "status": "Status",
    "amount": "Amount",
    "currency": "Currency",
    "at": "Made",
    "payment": "Payment",
}


def report(folder: Path, *lines: str, source: str = "stripe", form: Form | None = None, **layout: Any) -> Report:
    file = folder / "report.csv"
    file.write_text("\n".join(lines), encoding=layout.get("encoding", "utf-8"))
    return Report(SOURCES[source], file, Layout(**{"columns": COLUMNS} | layout), form or Form(), NOW)


def read(folder: Path, text: str | bytes, **layout: Any) -> list[Row]:
    file = folder / "report.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(rows(file, Layout(**{"columns": {"id": "Id", "amount": "Amount"}} | layout)))


async def stored(database: Database) -> list[Any]:
    async with database.read() as conn:
        return list((await conn.execute(select(journal.c.source, journal.c.type, journal.c.via))).all())


async def lines(database: Database) -> list[str]:
    async with database.read() as conn:
        assert not await count_backlog(conn)
        found = await entries_after(conn, "", 100)
    return sorted(f"{e.order_id} {e.reason or e.status} {e.gateway_amount} {e.storefront_amount}" for e in found)


# The file ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_delimiter_and_line_ends_are_found_out(tmp_path: Path, delimiter: str, end: str) -> None:
    text = end.join(delimiter.join(cells) for cells in (["Id", "Note", "Amount"], ["r1", '"a,b;c"', " 1.00 "], [""]))

    assert [(r.line, r.cells) for r in read(tmp_path, text)] == [(2, {"id": "r1", "amount": "1.00"})]


@pytest.mark.parametrize(
    ("encoding", "codec"), [("utf-8", "utf-8"), ("utf-8", "utf-8-sig"), ("cp1252", "cp1252"), ("utf-16", "utf-16")]
)
def test_encodings(tmp_path: Path, encoding: str, codec: str) -> None:
    text = "Id,Amount\nr\u00fc,£1\n".encode(codec)

    assert [r.cells for r in read(tmp_path, text, encoding=encoding)] == [{"id": "rü", "amount": "£1"}]


def test_lines_are_counted_through_cells_that_span_several(tmp_path: Path) -> None:
    found = read(tmp_path, 'Id,Amount,Note\nr1,1,"a\nb"\n\n\nr2,2,\nr3\nr4,4,,,\nr5,5,,more\n')

    assert [(r.line, bool(r.fault)) for r in found] == [(2, False), (6, False), (7, True), (8, False), (9, True)]
    assert found[2].fault == "it has 1 cells, and the header 3"


def test_only_the_rows_that_are_asked_for_are_wanted(tmp_path: Path) -> None:
    only = {"Type": frozenset({"Refund", "Credit"}), "Amount": frozenset({"1", "2"})}
    found = read(tmp_path, "Id,Amount,Type\nr1,1,Refund\nr2,2,Sale\nr3,3,Refund\nr4,2,Credit", only=only)

    assert [r.cells and r.cells["id"] for r in found] == ["r1", None, None, "r4"]


def test_what_is_the_same_in_every_row_is_given_once(tmp_path: Path) -> None:
    found = read(tmp_path, "Id,Amount\nr1,1\n", fixed={"currency": "GBP"})

    assert [r.cells for r in found] == [{"id": "r1", "amount": "1", "currency": "GBP"}]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "The file is empty"),
        (b"Id,Amuont\n1,2", "The header has no column 'Amount': did you mean Amuont?"),
        (b"Id,Amount,Id\n1,2,3", "The header has 2 columns 'Id'"),
        (b"Id,Amount\n1,\xff", "is not utf-8: try another --encoding"),
        (b'Id,Amount\n1,"2"3\n', "is not CSV: "),
        (b'Id,Amount\n1,"2\n', "is not CSV: "),
        (b"Id,Amount\n1," + b"9" * 200_000, "is not CSV: field larger than field limit"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_in_a_sentence(tmp_path: Path, text: bytes, sentence: str) -> None:
    with pytest.raises(ReportUnusable) as caught:
        read(tmp_path, text)
    assert sentence in str(caught.value)


def test_a_report_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.report_file.ROWS_MAX", 2)

    assert len(read(tmp_path, "Id,Amount\n1,1\n2,2")) == 2
    with pytest.raises(ReportUnusable, match="more than 2 rows"):
        read(tmp_path, "Id,Amount\n1,1\n2,2\n3,3")


# The import ----------------------------------------------------------------------------------------------------------


async def test_rows_go_through_the_journal_to_the_ledger(database: Database, tmp_path: Path) -> None:
    await deliver(database, order(1), order(2, refunded="7.50"))
    found = await import_report(database, report(tmp_path, HEADER, FIRST, SECOND))
    await work_off(database)

    assert (found.imported, found.rows, found.new, found.known, found.malformed) == (True, 2, [2, 3], [], 0)
    assert (await stored(database))[2:] == [("stripe", "import.refund", "import")] * 2
    assert await lines(database) == ["1001 matched 1500 1500", "1002 matched 750 750"]


async def test_an_order_report_is_the_other_side(database: Database, tmp_path: Path) -> None:
    await deliver(database, refund(1))
    columns = {"order": "No", "payment_status": "Paid", "total": "Sum", "refunded": "Back", "transaction": "Ref"}
    fixed = {"occurred_at": "2025-03-02T00:00:00Z", "currency": "GBP"}
    text = ("No;Paid;Sum;Back;Ref", "1001;Partially refunded;100,00;15,00;pi_1")
    form = Form(decimal_comma=True)
    orders = report(tmp_path, *text, source="shop", form=form, columns=columns, fixed=fixed)

    assert (await import_report(database, orders)).new == [2]
    await work_off(database)

    assert (await stored(database))[1] == ("shop", "order.changed", "import")
    assert await lines(database) == ["1001 matched 1500 1500"]


async def test_a_report_is_imported_once_however_often(database: Database, tmp_path: Path) -> None:
    await import_report(database, report(tmp_path, HEADER, FIRST))
    found = await import_report(database, report(tmp_path, HEADER, SECOND, FIRST, SECOND))

    assert (found.new, found.known) == ([2], [3, 4])
    assert len(await stored(database)) == 2
    await work_off(database)
    assert await lines(database) == ["None order_unknown 1500 None", "None order_unknown 750 None"]


async def test_a_refund_that_a_webhook_told_is_the_same_refund(database: Database, tmp_path: Path) -> None:
    await deliver(database, order(1), refund(1))
    await work_off(database)
    before = await lines(database)

    await import_report(database, report(tmp_path, HEADER, FIRST))
    await work_off(database)

    assert await lines(database) == before == ["1001 matched 1500 1500"]


BAD = ["re_3,succeeded,x,GBP,2025-03-01,pi_1", "re_4,done,1,GBP,2025-03-01,pi_1", "re_1,failed" + FIRST[14:]]


async def test_one_bad_row_stops_all_and_every_bad_row_is_told(database: Database, tmp_path: Path) -> None:
    found = await import_report(database, report(tmp_path, HEADER, FIRST, *BAD, SECOND))

    assert (found.imported, found.rows, found.malformed, found.new) == (False, 5, 3, [])
    assert [line for line, _ in found.faults] == [3, 4, 5]
    assert found.faults[2][1] == "it says otherwise than line 2 of the same thing at the same time"
    assert await stored(database) == []


async def test_bad_rows_can_be_skipped(database: Database, tmp_path: Path) -> None:
    found = await import_report(database, report(tmp_path, HEADER, FIRST, *BAD, SECOND), skip_bad_rows=True)

    assert (found.imported, found.new, found.malformed) == (True, [2, 6], 3)
    assert len(await stored(database)) == 2


async def test_faults_are_told_up_to_a_hundred_and_counted_beyond(database: Database, tmp_path: Path) -> None:
    found = await import_report(database, report(tmp_path, HEADER, *[BAD[0]] * 130))

    assert (found.malformed, len(found.faults)) == (130, 100)


async def test_a_long_report_is_taken_in_batches_and_says_how_far_it_is(database: Database, tmp_path: Path) -> None:
    many = [f"re_{n},succeeded,1.00,GBP,2025-03-01T02:00:00Z,pi_{n}" for n in range(450)]
    said: list[tuple[str, int]] = []
    one = report(tmp_path, HEADER, *many)

    found = await import_report(database, one, progress=lambda what, done: said.append((what, done)))

    assert len(found.new) == len(await stored(database)) == 450
    assert [what for what, _ in said] == ["checked"] * 450 + ["imported"] * 450
    assert said[-1][1] == one.file.stat().st_size


# The dry run ---------------------------------------------------------------------------------------------------------


async def everything(database: Database) -> list[Any]:
    async with database.read() as conn:
        tables = [list((await conn.execute(select(table))).all()) for table in (journal, inbox, marks)]
        return [*tables, await facts_after(conn, 0, 100), await entries_after(conn, "", 100)]


def changes(found: ImportReport) -> list[str]:
    def status(entry: Any) -> Any:
        return entry and (entry.reason or entry.status)

    return [f"{(c.new or c.old).order_id}: {status(c.old)} > {status(c.new)}" for c in found.changes]  # type: ignore[union-attr]


async def test_a_dry_run_shows_what_would_open_and_change_and_writes_nothing(
    database: Database, tmp_path: Path
) -> None:
    await deliver(database, order(1), order(2), order(3), refund(3, payment="pi_3"))
    await work_off(database)
    missing = [f"100{number} missing_in_gateway None 1500" for number in (1, 2)]
    assert await lines(database) == [*missing, "1003 matched 1500 1500"]
    before = await everything(database)
    unpaid = "re_9,succeeded,3.00,GBP,2025-03-01T02:00:00Z,pi_9"
    failed = "re_8,failed,15.00,GBP,2025-03-01T02:00:00Z,pi_2"
    one = report(tmp_path, HEADER, FIRST, unpaid, failed, FIRST)

    found = await foresee_import(database, Report(one.source, one.file, one.layout, one.form, LATER), RULES)

    assert (found.imported, found.new, found.known) == (False, [2, 3, 4], [5])
    assert sorted(changes(found)) == [
        "1001: missing_in_gateway > matched",
        "1002: missing_in_gateway > refund_failed",
        "None: None > order_unknown",
    ]
    assert await everything(database) == before


async def test_what_a_dry_run_foresees_is_what_the_import_brings(database: Database, tmp_path: Path) -> None:
    await deliver(database, order(1), order(2, refunded="7.50"))
    await work_off(database)
    one = report(tmp_path, HEADER, FIRST, SECOND)
    foreseen = await foresee_import(database, Report(one.source, one.file, one.layout, one.form, LATER), RULES)

    await import_report(database, one)
    await work_off(database)

    async with database.read() as conn:
        entries = {e.id: e for e in await entries_after(conn, "", 100)}
    assert {c.new.id: c.new for c in foreseen.changes if c.new} == entries
    again = await foresee_import(database, Report(one.source, one.file, one.layout, one.form, LATER), RULES)
    assert (again.new, again.known, again.changes) == ([], [2, 3], [])
