"""What every command begins with: the configuration, the database, the time."""

from __future__ import annotations

import asyncio
import os
import pwd
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ledger.instants import Instant

if TYPE_CHECKING:
    from sources.registry import Configuration
    from storage.database import Database

T = TypeVar("T")


def configuration_of(path: Path | None, *, logs: bool = False) -> Configuration:
    """The validated configuration; with `logs`, log as it says. Raises ConfigError."""
    from sources.registry import load

    configuration = load(path)
    if logs:
        from config.logs import setup

        setup(configuration.settings.log_level, configuration.settings.log_format)
    return configuration


def with_database(path: Path | None, work: Callable[[Database], Awaitable[T]]) -> T:
    """What `work` returns for the configured database."""
    url = configuration_of(path).settings.database_url

    async def run() -> T:
        from storage.database import open_database

        async with open_database(url, "cli") as database:
            return await work(database)

    return asyncio.run(run())


def now() -> Instant:
    """The present moment."""
    return time.time_ns() // 1000


def operator() -> str:
    """Who types: `cli:` and the name of the Unix user, as the kernel knows it."""
    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"cli:{os.getuid()}"


def as_typed() -> str:
    """This command as it can be typed here."""
    script = Path(sys.argv[0])
    try:
        return str(script.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(script)
