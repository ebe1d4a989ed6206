"""What the endpoints work with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ledger.instants import Instant
from ledger.policy import Policy
from sources.registry import AnySource
from storage.database import Database
from storage.journal import Journal


@dataclass(frozen=True)
class Context:
    """One console's."""

    database: Database
    journal: Journal
    sources: Mapping[str, AnySource]
    policy: Policy
    clock: Callable[[], Instant]
    report_timezone: str = "UTC"
