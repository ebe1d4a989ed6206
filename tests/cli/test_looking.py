"""`entries`, `show` and `export`."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy.ext.asyncio import AsyncConnection

from cli.tables import age, date, entry_details, entry_table, exceptions, money
from ledger.entries import Entry, GatewayRefund
from ledger.facts import Action, Decision
from ledger.instants import SECOND
from storage.database import StorageUnavailable
from storage.entries import EntryFilter, HistoryLine, page
from tests.cli.harness import Ledger

HOUR = 3_600 * SECOND


def listed(told: Ledger, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(told.run("entries", "--json", *arguments).stdout)
    return found


def test_entries_are_listed_for_people(told: Ledger) -> None:
    said = told.run("entries", "--status", "unmatched").stdout
    for reason in ("missing_in_storefront", "refund_failed", "over_refunded", "order_ambiguous"):
        assert reason in said
    assert "matched  " not in said
    assert "138.00" in said


def test_pages_follow_each_other_as_in_the_api(told: Ledger) -> None:
    whole = listed(told, "--status", "matched", "--limit", "1000")
    assert whole["next_cursor"] is None
    first = listed(told, "--status", "matched", "--limit", "20")
    second = listed(told, "--status", "matched", "--limit", "20", "--cursor", first["next_cursor"])
    assert first["entries"] + second["entries"] == whole["entries"]
    assert len(whole["entries"]) == 30


def test_filters_choose_like_those_of_the_api(told: Ledger) -> None:
    [entry] = listed(told, "--reason", "order_unknown", "--source", "stripe")["entries"]
    assert entry["gateway_amount"] == "66.00"
    assert entry["suggestions"]
    recent = listed(told, "--since", "10h")["entries"]
    assert {e["status"] for e in recent} <= {"pending", "matched"}
    assert listed(told, "--until", "2020-01-01T00:00:00Z")["entries"] == []
    assert told.run("entries", "--order", "no such order").stdout == "There is no such entry.\n"


@pytest.mark.parametrize(
    "wrong",
    [("--status", "open"), ("--reason", "x"), ("--limit", "0"), ("--since", "yesterday"), ("--cursor", "x")],
)
def test_a_filter_that_cannot_be_is_wrong_use(told: Ledger, wrong: tuple[str, str]) -> None:
    said = told.run("entries", *wrong, status=2).stderr
    assert wrong[0] in said


def test_an_order_is_shown_from_both_sides_with_the_reason_why(told: Ledger) -> None:
    said = told.run("show", "10240").stdout
    for text in ("Order 10240 of shop", "58.40", "refund_failed", "is not paid", "stripe refund", "refund.failed"):
        assert text in said


def test_an_order_as_json_is_what_the_api_answers(told: Ledger) -> None:
    page = json.loads(told.run("show", "10240", "--store", "shop", "--json").stdout)
    assert set(page) == {"order", "facts", "entries", "events"}
    assert page["order"]["order_id"] == "10240"
    assert [entry["reason"] for entry in page["entries"]] == ["refund_failed"]


def test_an_entry_is_found_by_the_beginning_of_its_id(told: Ledger) -> None:
    [unknown] = listed(told, "--reason", "order_unknown")["entries"]
    said = told.run("show", unknown["id"][:8]).stdout
    assert unknown["id"] in said
    assert "Perhaps order" in said
    [failed] = listed(told, "--reason", "refund_failed")["entries"]
    assert "Order 10240 of shop" in told.run("show", failed["id"]).stdout


def test_an_order_whose_refund_may_be_another_orders_is_not_called_never_refunded(told: Ledger) -> None:
    [ambiguous] = listed(told, "--reason", "order_ambiguous")["entries"]
    said = told.run("show", ambiguous["suggestions"][0]["order_id"]).stdout
    assert "nothing was refunded" not in said
    assert "may belong to other orders too" in " ".join(said.split())


def test_what_is_not_there_is_told_in_one_sentence(told: Ledger) -> None:
    assert told.run("show", "nosuch", status=1).stderr.startswith("Error: There is no order or entry 'nosuch'")
    assert told.run("show", "\udcff", status=1).stderr.startswith("Error: There is no order or entry '\\udcff'")
    assert told.run("show", "nosuch", "--store", "shop", status=1).stderr.startswith("Error: shop has told of no order")


def test_the_export_is_the_table_of_the_api(told: Ledger, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(told.run("export", "--reason", "refund_failed").stdout)))
    assert [(row["order_id"], row["storefront_amount"]) for row in rows] == [("10240", "58.40")]
    file = tmp_path / "refunds.csv"
    assert told.run("export", "--status", "matched", "--output", str(file)).stdout == ""
    assert len(list(csv.DictReader(io.StringIO(file.read_text())))) == 30


def test_an_export_that_fails_leaves_the_file_as_it_was(
    told: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def first_page_only(
        conn: AsyncConnection, chosen: EntryFilter, limit: int, cursor: str | None
    ) -> tuple[list[Entry], str]:
        if cursor is not None:
            raise StorageUnavailable("the database failed")
        found, _ = await page(conn, chosen, limit)
        return found, "another page"

    monkeypatch.setattr("console.export.page", first_page_only)
    (tmp_path / "refunds.csv").write_text("of yesterday")
    said = told.run("export", "--output", str(tmp_path / "refunds.csv"), status=1).stderr
    assert said == "Error: the database failed\n"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("refunds.csv", "of yesterday")]


def test_an_export_may_go_to_a_device(told: Ledger) -> None:
    told.run("export", "--output", "/dev/null")
    assert Path("/dev/null").is_char_device()


def entry(**changes: str) -> Entry:
    refund = GatewayRefund("stripe", "re_1", "refund", "succeeded", 1250, "GBP", HOUR)
    values: dict[str, Any] = {
        "id": "ab" * 16,
        "store": "shop",
        "order_id": "1001",
        "status": "unmatched",
        "reason": "missing_in_storefront",
        "verified": False,
        "currency": "GBP",
        "gateway_amount": 1250,
        "storefront_amount": None,
        "expected_amount": None,
        "gateway_refunds": (refund,),
        "storefront_refunds": (),
        "opened_at": HOUR,
        "matched_at": None,
        "explanation": "Why.",
        "suggestions": (),
        "due_at": None,
        "home": 1,
        "anchor": ("refund", "stripe", "re_1"),
        "fingerprint": "",
    }
    return Entry(**values | changes)


@pytest.mark.parametrize("width", [80, 100, 200])
def test_nothing_from_outside_reaches_the_terminal_as_anything_but_text(width: int) -> None:
    hostile = entry(order_id="\x1b[2J[red]1001\u202e", explanation="\x1b]0;title\x07[bold]why")
    console = Console(width=width, record=True, markup=False, force_terminal=True, file=io.StringIO())
    console.print(entry_table([hostile], 2 * HOUR, width))
    console.print(exceptions([hostile], 2 * HOUR, width))
    said = console.export_text()
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "[red]1001" in said
    assert "[bold]why" in said


@pytest.mark.parametrize(
    ("action", "details", "said"),
    [
        ("link", {"store": "shop", "order_id": "1002"}, "link by ann: order 1002 of shop"),
        ("unlink", {}, "unlink by ann"),
        ("snooze", {"until": 1_795_312_800 * SECOND}, "snooze by ann: until 22 Nov 02:00 UTC"),
        ("snooze", {}, "snooze by ann: over"),
        ("assign", {"text": "ben"}, "assign by ann: ben"),
        ("assign", {}, "assign by ann: nobody"),
        ("note", {"text": "customer called"}, "note by ann: customer called"),
    ],
)
def test_the_history_tells_what_was_decided(action: Action, details: dict[str, Any], said: str) -> None:
    decision = Decision("d1", action, HOUR, "ann", **{"text": "", "entry_id": "", "anchor": (), **details})
    line = HistoryLine("ab" * 16, HOUR, {}, "unmatched", "missing_in_storefront", "Why.", (7,), "ann", "d1")
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(entry_details(entry(), [line], {"d1": decision}, 2 * HOUR))
    assert console.export_text().splitlines()[-1].rstrip().endswith(f"missing_in_storefront  {said}")


def test_the_history_says_where_an_entry_that_ended_went_on() -> None:
    ended = HistoryLine("cd", HOUR, {}, "", "", "Continued as entry ab.", (7,), None, None)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(entry_details(entry(), [ended], {}, 2 * HOUR))
    assert console.export_text().rstrip().endswith("Continued as entry ab.  after event 7")


def test_lines_fit_the_terminal() -> None:
    for width in (80, 100):
        console = Console(width=width, record=True, file=io.StringIO())
        console.print(exceptions([entry(explanation="because " * 40)], 2 * HOUR, width))
        assert max(map(len, console.export_text().splitlines())) <= width


def test_amounts_dates_and_ages_read_well() -> None:
    assert money(120_435, "GBP") == "1,204.35"
    assert money(-5, "GBP") == "-0.05"
    assert money(12_400, "JPY") == "12,400"
    assert money(None, "GBP") == "–"  # noqa: RUF001
    assert date(1_795_312_800 * SECOND) == "22 Nov 02:00"
    assert [age(0, n * HOUR) for n in (1, 35, 100)] == ["60 min", "35 h", "4 d"]
    assert age(35 * HOUR, 0) == "in 35 h"
