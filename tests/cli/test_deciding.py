"""What operators decide on the command line, with the real sync process at work."""

import getpass
import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.cli.harness import SCRIPT, Ledger


@pytest.fixture(scope="module")
def working(told: Ledger) -> Iterator[Ledger]:
    """The story, and a sync process that takes decisions up."""
    environ = {**os.environ, "REFUND_LEDGER_CONFIG": str(told.toml)}
    process = subprocess.Popen([SCRIPT, "sync"], env=environ, stderr=subprocess.DEVNULL)
    yield told
    process.terminate()
    assert process.wait(20) == 0


def entry_with(ledger: Ledger, reason: str) -> str:
    found = json.loads(ledger.run("entries", "--reason", reason, "--json").stdout)
    entry_id: str = found["entries"][0]["id"]
    return entry_id


def test_an_entry_is_resolved_with_a_reason_and_reopened(working: Ledger) -> None:
    entry = entry_with(working, "refund_failed")
    assert working.run("resolve", entry[:8], "paid by bank transfer").stdout == f"Done: entry {entry} is resolved.\n"
    assert "only a pending or unmatched entry" in working.run("resolve", entry, "again", status=1).stderr
    said = working.run("show", "10240").stdout
    assert f"resolve by cli:{getpass.getuser()}: paid by bank transfer" in said
    reopened = json.loads(working.run("reopen", entry, "--json").stdout)
    assert (reopened["id"], reopened["status"]) == (entry, "unmatched")


def test_a_refund_is_linked_to_an_order_and_unlinked(working: Ledger) -> None:
    entry = entry_with(working, "order_unknown")
    linked = json.loads(working.run("link", entry, "shop", "10251", "--json").stdout)
    assert (linked["order_id"], linked["reason"]) == ("10251", "missing_in_storefront")
    assert "no such order" in working.run("link", entry, "shop", "1", status=1).stderr
    assert f"link by cli:{getpass.getuser()}: order 10251 of shop" in working.run("show", entry).stdout
    assert "Done" in working.run("unlink", entry).stdout
    assert entry_with(working, "order_unknown") == entry


def test_a_note_is_in_the_history(working: Ledger) -> None:
    entry = entry_with(working, "over_refunded")
    working.run("note", entry, "customer called")
    assert "note by cli:" in working.run("show", entry).stdout


def test_a_reason_has_to_be_given(working: Ledger) -> None:
    entry = entry_with(working, "over_refunded")
    assert "reason: is blank" in working.run("resolve", entry, " ", status=1).stderr
    working.run("resolve", entry, status=2)


def test_without_sync_the_decision_is_stored_and_that_is_said(empty: Ledger) -> None:
    import asyncio

    asyncio.run(empty.tell_the_story())
    entry = entry_with(empty, "order_unknown")
    done = empty.run("note", entry, "for later")
    assert done.stdout == ""
    assert "takes effect as soon as the sync process runs" in done.stderr
    asyncio.run(empty.settle())
    assert "note by cli:" in empty.run("show", entry).stdout
