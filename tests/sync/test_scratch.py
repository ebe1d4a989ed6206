"""What is worked out beside the standing ledger leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

WORK = """
import asyncio, signal, sys
from sync.scratch import scratch_database

async def work():
    async with scratch_database():
        signal.raise_signal(int(sys.argv[1]))
        await asyncio.sleep(30)

asyncio.run(work())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_database_beside_the_standing_one_is_gone_when_its_process_is_told_to_end(
    number: signal.Signals, tmp_path: Path
) -> None:
    # Coverage has a handler of its own for SIGTERM, which would be left alone.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    environ |= {"TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", WORK, str(int(number))], env=environ, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (128 + number, b"")
    assert list(tmp_path.iterdir()) == []
