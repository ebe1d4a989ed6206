"""`purge`, `forget` and `report`: the real script on a ledger in which the story of the demonstration has happened."""

import json
from pathlib import Path

from tests.cli.harness import Ledger


def test_purge_says_what_it_did_and_what_to_configure(told: Ledger) -> None:
    assert "cut_bodies_after" in told.run("purge", status=2).stderr
    kept = told.toml.read_text()
    told.toml.write_text(kept + '\n[retention]\ncut_bodies_after = "1s"\n')
    try:
        report = json.loads(told.run("purge", "--dry-run", "--json").stdout)
        assert report["cut"] > 0
        assert report["kept"] > 0
        assert f"{report['cut']} bodies would be cut" in told.run("purge", "--dry-run").stdout
    finally:
        told.toml.write_text(kept)


def test_forget_asks_for_one_customer_and_cuts_nothing_else(told: Ledger, tmp_path: Path) -> None:
    matched = json.loads(told.run("entries", "--status", "matched", "--json").stdout)["entries"]
    order = next(e["order_id"] for e in matched if len(e["gateway_refunds"]) == len(e["storefront_refunds"] or ()) == 1)
    would = told.run("forget", "--order", f"shop/{order}", "--dry-run").stdout
    count = would.split()[0]
    assert int(count) >= 2
    assert f"{count} bodies cut, with a note on 1 entries" in told.run("forget", "--order", f"shop/{order}").stdout
    assert "Nothing of it is here" in told.run("forget", "--order", "shop/none", status=1).stderr

    address = tmp_path / "address"
    address.write_text("nobody@example.com\n")
    assert "Nothing of it is here" in told.run("forget", "--email-from", str(address), status=1).stderr
    address.write_text("no address")
    assert "one e-mail address" in told.run("forget", "--email-from", str(address), status=2).stderr
    assert "either" in told.run("forget", status=2).stderr


def test_forget_leaves_an_open_entry_alone_unless_it_is_forced(told: Ledger) -> None:
    shown = json.loads(told.run("entries", "--reason", "amount_mismatch", "--json").stdout)["entries"]
    name = f"shop/{shown[0]['order_id']}"
    assert "--force" in told.run("forget", "--order", name, status=1).stderr
    assert "bodies cut" in told.run("forget", "--order", name, "--force").stdout


def test_the_report_is_a_table_a_file_and_json(told: Ledger, tmp_path: Path) -> None:
    month = json.loads(told.run("entries", "--json").stdout)["entries"][-1]["opened_at"][:7]
    lines = json.loads(told.run("report", "--month", month, "--json").stdout)["lines"]
    assert {"stripe"} <= {line["gateway"] for line in lines}
    assert "Recorded" in told.run("report", "--month", month).stdout
    assert "Nothing was recorded" in told.run("report", "--month", "1999-01").stdout
    csv, html = tmp_path / "r.csv", tmp_path / "r.html"
    told.run("report", "--month", month, "--csv", str(csv), "--html", str(html))
    assert len(csv.read_text().splitlines()) == len(lines) + 1
    assert "<table>" in html.read_text()
    assert told.run("report", "--month", month, "--csv", "-").stdout.startswith("month,")
    assert "2026-11" in told.run("report", "--month", "2026-13", status=2).stderr
    assert "Europe/London" in told.run("report", "--timezone", "Mars", status=2).stderr
