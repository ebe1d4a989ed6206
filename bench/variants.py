"""The real listener process with another journal, to compare the real one with.

`python -m bench.variants without_storage`, `python -m bench.variants one_commit_each`.
"""

import sys
from collections.abc import Sequence

from config import logs
from listener import server
from sources.registry import load
from storage import journal
from storage.database import Database, NewEvent


class NoJournal:
    """Takes everything and stores nothing."""

    def __init__(self, _database: Database) -> None:
        pass

    async def append(self, events: Sequence[NewEvent]) -> list[bool]:
        """Every event is new."""
        return [True] * len(events)

    async def close(self) -> None:
        """Nothing waits."""


def main(variant: str) -> None:
    """Serve until SIGTERM."""
    if variant == "without_storage":
        server.Journal = NoJournal  # type: ignore[attr-defined, assignment]
    else:
        journal.BATCH_MAX = 1
    configuration = load()
    logs.setup(configuration.settings.log_level, configuration.settings.log_format)
    server.serve(configuration)


if __name__ == "__main__":
    main(sys.argv[1])
