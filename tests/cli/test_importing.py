"""`refund-ledger import`: what it says, and that wrong use is told at once."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.importing import lines_text
from cli.main import cli
from tests.cli.harness import Ledger

REFUNDS = """\
Id;Kind;State;Back;Made
r1;Refund;Paid;12,50;20/11/2026 10:00
r2;Refund;Paid;1.000,00;20/11/2026
p1;Sale;Paid;99,00;19/11/2026
"""
READ = ["--map", "id=Id", "--map", "status=State", "--map", "amount=Back", "--map", "at=Made", "--set", "currency=GBP",
        "--value", "status:Paid=succeeded", "--decimal-comma", "--only", "Kind=Refund"]  # fmt: skip
DAYS = ["--date-format", "%d/%m/%Y"]
TWO_DAYS = REFUNDS.replace(" 10:00", "")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path, f"sqlite:///{tmp_path}/ledger.db")


def imported(ledger: Ledger, text: str, *arguments: str, status: int = 0, source: str = "stripe") -> Result:
    file = ledger.toml.with_name("report.csv")
    file.write_text(text)
    base = ["--config", str(ledger.toml), "import", "--source", source, str(file)]
    done = CliRunner().invoke(cli, [*base, *arguments])
    assert done.exit_code == status, done.output
    return done


def as_json(ledger: Ledger, text: str, *arguments: str, status: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(imported(ledger, text, *arguments, "--json", status=status).stdout)
    return found


def test_a_dry_run_then_the_import_then_the_same_again(ledger: Ledger) -> None:
    said = imported(ledger, TWO_DAYS, *READ, *DAYS, "--dry-run").stdout
    assert "3 rows for stripe: 2 would be new, 0 known, 0 cannot be used, 1 left out." in said
    assert "new: line 2-3" in said
    assert "Entries that would open, change or end: 2. Nothing was written." in said
    assert "1,000.00" in said

    assert "2 new, 0 known" in imported(ledger, TWO_DAYS, *READ, *DAYS).stdout
    found = as_json(ledger, TWO_DAYS, *READ, *DAYS)
    assert (found["imported"], found["new"], found["known"], found["known_lines"]) == (True, 0, 2, "2-3")


def test_a_dry_run_as_json_has_the_entries_before_and_after(ledger: Ledger) -> None:
    found = as_json(ledger, TWO_DAYS, *READ, *DAYS, "--dry-run")

    assert (found["imported"], found["dry_run"], found["new_lines"]) == (False, True, "2-3")
    assert [entry["before"] for entry in found["entries"]] == [None, None]
    assert {entry["after"]["gateway_amount"] for entry in found["entries"]} == {"12.50", "1000.00"}


def test_faults_are_told_by_line_and_nothing_is_imported(ledger: Ledger) -> None:
    done = imported(ledger, REFUNDS, *READ, *DAYS, status=1)
    assert done.stderr.splitlines()[0] == "line 2: at is not a time as %d/%m/%Y"
    assert "Nothing was imported: 1 of 3 rows cannot be used." in done.stderr
    assert done.stdout == ""

    foreseen = imported(ledger, REFUNDS, *READ, *DAYS, "--dry-run", status=1)
    assert "Nothing would be imported: 1 of 3 rows cannot be used." in foreseen.stderr
    assert as_json(ledger, REFUNDS, *READ, *DAYS, "--dry-run", status=1)["faults"] == [
        {"line": 2, "reason": "at is not a time as %d/%m/%Y"}
    ]
    assert "1 new, 0 known, 1 cannot be used" in imported(ledger, REFUNDS, *READ, *DAYS, "--skip-bad-rows").stdout


def test_a_file_that_is_not_such_a_report_is_told_in_a_sentence(ledger: Ledger) -> None:
    done = imported(ledger, "Id,State\n1,2\n", *READ, status=1)

    assert "Error: The header has no column 'Back': choose from Id, State." in done.stderr


def test_wrong_use_is_told_all_at_once(ledger: Ledger) -> None:
    arguments = ["--map", "amuont=Id", "--map", "at=A", "--set", "at=B", "--value", "x:y=z", "--delimiter", "ab"]
    said = imported(ledger, REFUNDS, *arguments, status=2).stderr

    for text in (
        "'amuont' is not a field: did you mean amount?",
        "at is given twice",
        "--value x:y: write FIELD:WORD=OURS",
        "amount is missing (what went back, in major units): --map amount=COLUMN",
        "--delimiter is one character",
    ):
        assert text in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--map", "id"], "'id' is not written as FIELD=COLUMN"),
        (["--timezone", "Europe/Lon"], "'Europe/Lon' is not a time zone"),
        (["--timezone", "../etc/passwd"], "is not a time zone"),
    ],
)
def test_an_option_that_cannot_be_read_is_told(ledger: Ledger, arguments: list[str], said: str) -> None:
    assert said in imported(ledger, REFUNDS, *arguments, status=2).stderr


def test_the_source_has_to_be_configured(ledger: Ledger) -> None:
    assert "'nosuch' is none of stripe, shop" in imported(ledger, REFUNDS, source="nosuch", status=2).stderr


def test_a_gateway_that_has_nothing_but_reports_is_configured_as_the_page_says(ledger: Ledger) -> None:
    page = (Path(__file__).parents[2] / "docs" / "imports.md").read_text(encoding="utf-8")
    [table] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    ledger.toml.write_text(f"{ledger.toml.read_text()}\n{table}")
    ledger.toml.with_name("a-random-secret").write_text("c3VyZWx5LXJhbmRvbQ")

    assert "2 new, 0 known" in imported(ledger, TWO_DAYS, *READ, *DAYS, source="terminal").stdout


def test_orders_of_a_storefront(ledger: Ledger) -> None:
    text = "No\tStatus\tBack\n1001\tRefunded\t12.00\n"
    columns = ["--map", "order=No", "--map", "payment_status=Status", "--map", "refunded=Back", "--delimiter", "tab"]
    arguments = [*columns, "--set", "currency=GBP", "--set", "occurred_at=2026-11-20T10:00:00Z"]

    assert "1 would be new" in imported(ledger, text, *arguments, "--dry-run", source="shop").stdout


def test_a_long_report_says_how_far_it_is(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.importing.SAID_EVERY", 2)

    assert imported(ledger, TWO_DAYS, *READ, *DAYS).stderr.splitlines() == ["2 rows checked", "2 rows imported"]


def test_lines_are_shown_in_stretches() -> None:
    assert lines_text([2, 3, 4, 7, 9, 10]) == "2-4, 7, 9-10"
    assert lines_text([]) == ""
    assert lines_text(range(0, 100, 2)).endswith("38, …")
