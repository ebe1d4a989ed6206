"""The command on a real database."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner

from cli.demo.story import tell
from cli.main import cli
from ledger.instants import SECOND
from sources.base import Delivery
from sources.registry import Configuration, load, policy
from storage.database import NewEvent, open_database
from storage.journal import Journal
from storage.meta import created_at
from sync.work import settle

SCRIPT = Path(sys.executable).with_name("refund-ledger")

_CONFIGURATION = """\
database_url = "{database_url}"
public_bind = "127.0.0.1:0"
sync_bind = "127.0.0.1:0"
console_bind = "127.0.0.1:0"

[api_tokens.tests]
role = "operator"
token = "api-token-of-the-tests"

[sources.stripe]
kind = "stripe"
webhook_secrets = ["whsec_of_the_tests"]

[sources.shop]
kind = "infigo"
webhook_token = "shop-token-of-the-tests"
payment_methods = {{ "Payments.Stripe" = "stripe" }}
offline_methods = ["Payments.PurchaseOrder"]
"""


class Ledger:
    """A database with a configuration that names it."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.url = database_url
        self.toml = folder / "refund-ledger.toml"
        self.toml.write_text(_CONFIGURATION.format(database_url=database_url))

    @property
    def configuration(self) -> Configuration:
        """What the script reads."""
        return load(self.toml, environ={})

    def run(self, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the command on this configuration; it has to end with this status.

        In this process, on a thread that has no event loop yet: a process of its own takes a second to start.
        """
        arguments = ("--config", str(self.toml), *arguments)
        with _logging_as_before(), ThreadPoolExecutor(1) as thread:
            done = thread.submit(CliRunner().invoke, cli, arguments, prog_name="refund-ledger").result()
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == status, done.stderr
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)

    async def tell_the_story(self) -> None:
        """Have everything in the ledger that the demonstration tells."""
        now = time.time_ns() // 1000
        await self.hear((d.source, d.body) for d in tell(now).deliveries if not d.forged)

    async def hear(self, deliveries: Iterable[tuple[str, bytes]]) -> None:
        """Put authentic deliveries into the journal as the listener does, and have them paired.

        They arrived two seconds ago: old enough for the shortest retention.
        """
        now = time.time_ns() // 1000 - 2 * SECOND
        sources = self.configuration.sources
        events = [
            NewEvent(source, message.key, message.type, "webhook", now, {}, message.body)
            for source, body in deliveries
            for message in sources[source].messages(Delivery({}, body, now))
        ]
        async with open_database(self.url, "cli") as database, Journal(database) as journal:
            for event in events:
                await journal.append([event])
        await self.settle()

    async def settle(self) -> None:
        """Interpret and pair what there is, as the sync process does."""
        async with open_database(self.url, "sync") as database:
            async with database.read() as conn:
                rules = policy(self.configuration, await created_at(conn))
            await settle(database, self.configuration.sources, rules, lambda: time.time_ns() // 1000)


@contextmanager
def _logging_as_before() -> Iterator[None]:
    """Afterwards nothing is written to the streams of a command that has ended."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def run(*arguments: str, status: int = 0, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the script; it has to end with this status, and never with a traceback."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("REFUND_LEDGER_")}
    done = subprocess.run(
        [SCRIPT, *arguments], capture_output=True, text=True, timeout=120, check=False, env=environ, cwd=cwd
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done
