"""`listener`, `sync` and `console` as the command starts them. What they do then is told in their own rooms."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.cli.harness import SCRIPT, Ledger, run


def free_ports() -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path, f"sqlite:///{tmp_path}/ledger.db")
    text = made.toml.read_text()
    for port in free_ports():
        text = text.replace("127.0.0.1:0", f"127.0.0.1:{port}", 1)
    made.toml.write_text(text)
    return made


@contextmanager
def running(ledger: Ledger, role: str) -> Iterator[str]:
    """A process of this role, ready, and its address; it has to end well."""
    settings = ledger.configuration.settings
    binds = {"listener": settings.public_bind, "sync": settings.sync_bind, "console": settings.console_bind}
    process = subprocess.Popen([SCRIPT, "--config", ledger.toml, role], stderr=subprocess.PIPE, env=os.environ)
    url = f"http://{binds[role]}"
    try:
        for _ in range(600):
            assert process.poll() is None, process.stderr and process.stderr.read()
            try:
                if httpx.get(f"{url}/readyz", trust_env=False).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert b"Traceback" not in said


@pytest.mark.parametrize("role", ["listener", "sync", "console"])
def test_each_runs_in_the_foreground_until_it_is_told_to_end(ledger: Ledger, role: str) -> None:
    with running(ledger, role) as url:
        assert httpx.get(f"{url}/metrics", trust_env=False).status_code == 200


@pytest.mark.parametrize("role", ["listener", "sync"])
def test_a_second_one_on_sqlite_is_refused_in_one_sentence(ledger: Ledger, role: str, tmp_path: Path) -> None:
    with running(ledger, role):
        other = tmp_path / "other.toml"
        other.write_text(ledger.toml.read_text().replace("127.0.0.1:", "127.0.0.2:"))
        said = run("--config", str(other), role, status=1).stderr
    assert f"a {role} process already runs" in said.splitlines()[-1]


def test_several_listeners_on_sqlite_are_wrong_use(ledger: Ledger) -> None:
    assert "SQLite takes one listener" in ledger.run("listener", "--workers", "2", status=2).stderr


@pytest.mark.parametrize("role", ["listener", "console"])
def test_an_address_that_is_taken_is_told_in_one_sentence(ledger: Ledger, role: str) -> None:
    settings = ledger.configuration.settings
    key = "public_bind" if role == "listener" else "console_bind"
    bind = getattr(settings, key)
    with socket.create_server(bind):
        said = ledger.run(role, status=1).stderr
    assert said.splitlines()[-1] == f"Error: {key} = '{bind}': Address already in use"
