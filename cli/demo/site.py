"""The processes of the demonstration: their configuration, their start, their end."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import click
import httpx

ROLES = ("listener", "sync", "console")
START_SECONDS = 60
STOP_SECONDS = 10

_CONFIGURATION = """\
database_url = "sqlite:///refund-ledger.db"
public_bind = "127.0.0.1:{listener}"
sync_bind = "127.0.0.1:{sync}"
console_bind = "127.0.0.1:{console}"

[api_tokens.demo]
role = "operator"
token = "{api_token}"

[sources.stripe]
kind = "stripe"
webhook_secrets = ["{stripe_secret}"]

[sources.shop]
kind = "infigo"
webhook_token = "{shop_token}"
payment_methods = {{ "Payments.Stripe" = "stripe" }}
offline_methods = ["Payments.PurchaseOrder"]
"""


class Site:
    """Listener, sync and console with an empty SQLite database, on free ports of 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.client = httpx.Client(trust_env=False, timeout=10)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.configuration = folder / "refund-ledger.toml"
        self.database_url = f"sqlite:///{folder}/refund-ledger.db"
        self.stripe_secret = f"whsec_{secrets.token_hex(16)}"
        self.shop_token = secrets.token_hex(16)
        self.api_token = secrets.token_hex(8)
        ports = dict(zip(ROLES, _free_ports(len(ROLES)), strict=True))
        self.urls = {role: f"http://127.0.0.1:{port}" for role, port in ports.items()}
        secret = {
            "stripe_secret": self.stripe_secret,
            "shop_token": self.shop_token,
            "api_token": self.api_token,
        }
        self.configuration.write_text(_CONFIGURATION.format(**ports, **secret))

    def begin(self) -> None:
        """Start the first process. It creates the database, so that the others need not load what creates it."""
        self._start("listener")

    def complete(self) -> None:
        """Start the others, and return when all are ready. Raises ClickException where one is not."""
        deadline = time.monotonic() + START_SECONDS
        self._wait_until_ready("listener", deadline)
        for role in ("sync", "console"):
            self._start(role)
        for role in ("sync", "console"):
            self._wait_until_ready(role, deadline)

    def stop(self) -> None:
        """End the processes, and wait until they have ended."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave one of them behind
        self.client.close()
        for process in self._processes.values():
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in self._processes.values():
            try:
                process.wait(max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, role: str) -> None:
        # What is set for the user's own ledger must not reach the demonstration's.
        environ = {name: value for name, value in os.environ.items() if not name.startswith("REFUND_LEDGER_")}
        with self._log(role).open("wb") as log:
            self._processes[role] = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "cli.main", "--config", str(self.configuration), role],
                cwd=self._folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the demonstration, which then ends these in good order.
                start_new_session=True,
            )

    def _wait_until_ready(self, role: str, deadline: float) -> None:
        while time.monotonic() < deadline and self._processes[role].poll() is None:
            try:
                if self.client.get(f"{self.urls[role]}/readyz").status_code == 200:
                    return
            except httpx.HTTPError:
                pass  # it is not there yet
            time.sleep(0.1)
        said = self._log(role).read_text(errors="replace").strip().splitlines()[-5:]
        raise click.ClickException("\n  ".join([f"The {role} process did not start. It said:", *said]))

    def _log(self, role: str) -> Path:
        return self._folder / f"{role}.log"


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now. All are held until the last is found, so that they differ."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
