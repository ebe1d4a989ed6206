"""`migrate`, `dead-letters` and `replay`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from cli.mending import _progress
from storage.database import open_database
from storage.schema import entries
from tests.cli.harness import Ledger

# What measures the coverage of a process writes at its end, and needs room.
WITHOUT_ROOM = """
import resource, signal
from cli.main import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
try:
    main()
finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""

NOT_UNDERSTOOD = b'{"event": "order.changed", "order": {"Id": 7, "OrderTotal": -1, "CustomerCurrencyCode": "GBP"}}'


def test_a_disk_without_room_for_a_new_database_is_told_in_a_sentence(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, f"sqlite:///{tmp_path}/new.db")
    command = [sys.executable, "-c", WITHOUT_ROOM, "--config", str(ledger.toml), "migrate"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "new.db cannot be made: " in done.stderr
    assert "Traceback" not in done.stderr
    ledger.run("migrate")


def test_migrating_twice_is_migrating_once(empty: Ledger) -> None:
    for _ in range(2):
        assert empty.run("migrate").stdout == "The database is up to date.\n"


async def test_dead_letters_are_listed_and_tried_again(empty: Ledger) -> None:
    assert empty.run("dead-letters").stdout == "There are none: every event was understood.\n"
    await empty.hear([("shop", NOT_UNDERSTOOD)])
    [letter] = json.loads(empty.run("dead-letters", "list", "--json").stdout)["dead_letters"]
    assert letter["source"] == "shop"
    assert letter["reason"] in empty.run("dead-letters").stdout
    assert empty.run("dead-letters", "redrive", str(letter["id"])).stdout == "1 back in the inbox.\n"
    assert json.loads(empty.run("dead-letters", "--json").stdout)["dead_letters"] == []
    assert "Not a dead letter: 99" in empty.run("dead-letters", "redrive", "99", status=1).stderr
    await empty.settle()
    [again] = json.loads(empty.run("dead-letters", "list", "--json").stdout)["dead_letters"]
    assert again["attempts"] == letter["attempts"] + 1
    assert json.loads(empty.run("dead-letters", "--json").stdout)["dead_letters"] == [again]
    done = empty.run("dead-letters", "redrive", "--all", "--json")
    assert json.loads(done.stdout) == {"redriven": [letter["id"]], "unknown": []}


def test_what_to_redrive_has_to_be_said(empty: Ledger) -> None:
    empty.run("dead-letters", "redrive", status=2)
    empty.run("dead-letters", "redrive", "--all", "1", status=2)
    empty.run("dead-letters", "--json", "redrive", "--all", status=2)


async def test_a_replay_finds_what_does_not_follow_from_the_facts_and_mends_it(empty: Ledger) -> None:
    await empty.tell_the_story()
    assert empty.run("replay").stdout.endswith("0 differ.\n")
    assert json.loads(empty.run("replay", "--from-bodies", "--json").stdout)["differences"] == []
    async with open_database(empty.url, "cli") as database, database.write() as conn:
        changed = func.replace(entries.c.body, '"gateway_amount":6600', '"gateway_amount":1')
        unknown = select(entries.c.id).where(entries.c.reason == "order_unknown").scalar_subquery()
        await conn.execute(update(entries).where(entries.c.id == unknown).values(body=changed))
    said = empty.run("replay", status=3).stdout
    assert "1 differ" in said
    assert "gateway_amount" in said
    report = json.loads(empty.run("replay", "--json", status=3).stdout)
    assert report["differences"][0]["rebuilt"]["gateway_amount"] == "66.00"
    assert "taken this over" in empty.run("replay", "--apply").stdout
    assert empty.run("replay").stdout.endswith("0 differ.\n")


async def test_a_replay_says_nothing_of_events_that_were_set_aside_before(
    empty: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    await empty.hear([("shop", NOT_UNDERSTOOD)])
    assert caplog.messages == ["an event is set aside"]
    empty.run("replay", "--from-bodies")
    assert caplog.messages == ["an event is set aside"]


def test_without_a_terminal_the_progress_of_a_replay_is_a_line_for_every_ten_thousand_of_each_step(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with _progress() as progress:
        for what in ("facts", "pairing"):
            for done in range(0, 25_000, 437):
                progress(what, done)
    assert capsys.readouterr().err == "facts: 10,051\nfacts: 20,102\npairing: 10,051\npairing: 20,102\n"
