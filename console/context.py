"""What the endpoints work with."""

from collections.abc import Callable
from dataclasses import dataclass

from ledger.instants import Instant
from ledger.policy import Policy
from storage.database import Database
from storage.journal import Journal


@dataclass(frozen=True)
class Context:
    """One console's."""

    database: Database
    journal: Journal
    policy: Policy
    clock: Callable[[], Instant]
