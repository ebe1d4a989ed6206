"""The demonstration, as somebody who has just cloned the project sees it."""

import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest

from ledger.entries import REASONS
from tests.cli.harness import SCRIPT


def environment(folder: Path) -> dict[str, str]:
    # A configuration of one's own, which is wrong, must not matter.
    return {**os.environ, "TMPDIR": str(folder), "REFUND_LEDGER_GRACE_PERIOD": "soon", "COLUMNS": "100"}


def processes_of(folder: Path) -> list[int]:
    """The processes that were started with something of the folder on their command line."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if str(folder).encode() in (process / "cmdline").read_bytes():
                    found.append(int(process.name))
            except OSError:
                continue  # it has just ended
    return found


def test_without_a_terminal_it_shows_the_ledger_and_ends(tmp_path: Path) -> None:
    done = subprocess.run(
        [SCRIPT, "demo"],
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for text in (
        "What agrees: 30 refunds",
        "What does not: 13",
        "What may yet agree: 4",
        "What came to nothing: 1",
        *REASONS,
        'refund_ledger_webhooks_total{outcome="unauthenticated",source="stripe"} 1',
        "/metrics",
        "curl -s -H 'Authorization: Bearer ",
        "make run",
    ):
        assert text in done.stdout
    assert not list(tmp_path.iterdir())
    assert not processes_of(tmp_path)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_on_a_terminal_it_stays_up_and_leaves_nothing_behind(tmp_path: Path, number: int, status: int) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen([SCRIPT, "demo"], env=environment(tmp_path), stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        said = b""
        while b"stays up until Ctrl-C" not in said:
            said += os.read(ours, 65_536)
        assert processes_of(tmp_path)
        process.send_signal(number)
        while True:
            try:
                if not os.read(ours, 65_536):
                    break
            except OSError:  # how Linux tells that nobody has the terminal open any more
                break
        assert process.wait(30) == status
    finally:
        os.close(ours)
        process.kill()
        process.wait()
    assert not list(tmp_path.iterdir())
    assert not processes_of(tmp_path)
