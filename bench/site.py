"""The product's processes and their configuration."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.events import SHOP, STRIPE
from bench.machine import MEASURED_CORE, pinned

SECRET = "whsec_of_the_benchmark"
SHOP_TOKEN = "shop-token-of-the-benchmark"
API_TOKEN = "api-token-of-the-benchmark"
TRIES = 300
PAUSE_SECONDS = 0.1

LISTENER = ("-m", "cli.main", "listener")
SYNC = ("-m", "cli.main", "sync")
CONSOLE = ("-m", "cli.main", "console")


def environment(database_url: str, port: int = 0) -> dict[str, str]:
    """The configuration, as environment variables: one Stripe source, one Infigo source."""
    bind = f"127.0.0.1:{port}"
    values = {
        "DATABASE_URL": database_url,
        "PUBLIC_BIND": bind,
        "SYNC_BIND": bind,
        "CONSOLE_BIND": bind,
        "LOG_LEVEL": "error",
        "API_TOKENS": f'{{"bench": {{"role": "viewer", "token": "{API_TOKEN}"}}}}',
        f"SOURCES__{STRIPE}__KIND": "stripe",
        f"SOURCES__{STRIPE}__WEBHOOK_SECRETS": f'["{SECRET}"]',
        f"SOURCES__{SHOP}__KIND": "infigo",
        f"SOURCES__{SHOP}__WEBHOOK_TOKEN": SHOP_TOKEN,
    }
    return {f"REFUND_LEDGER_{name.upper()}": value for name, value in values.items()}


@dataclass(frozen=True)
class Process:
    """A running one."""

    pid: int
    port: int

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def running(database_url: str, folder: Path, command: tuple[str, ...]) -> Iterator[Process]:
    """Python with these arguments on the measured core, once it answers; whatever happens, it is ended."""
    port = _free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("REFUND_LEDGER_")}
    said = folder / f"said-on-{port}"
    with said.open("wb") as output, pinned(MEASURED_CORE):
        process = subprocess.Popen(
            [sys.executable, *command], env=environ | environment(database_url, port), stdout=output, stderr=output
        )
    try:
        _wait_until_it_answers(process, port, said)
        yield Process(process.pid, port)
        process.terminate()
        if process.wait(30) != 0:
            raise RuntimeError(f"{' '.join(command)} failed: {said.read_text()}")
    finally:
        process.kill()
        process.wait()


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, said: Path) -> None:
    for _ in range(TRIES):
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass  # it is not there yet
        time.sleep(PAUSE_SECONDS)
    raise RuntimeError(f"a process did not start: {said.read_text()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
