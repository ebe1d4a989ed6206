"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Extent:
    """Counts, never durations: every run does the same work."""

    rounds: int
    """Everything that is compared is run in turn, so often; what is reported are medians."""
    requests: int
    """Deliveries in one run; a tenth of them where each has a commit of its own."""
    events: int
    """Events that are paired in one run."""
    further: int
    """Events whose cost is measured in one run on a journal that is filled already, after as many others. A third of
    them, times the rounds, has to find an order each in the smallest journal, which has a fifth as many orders as
    events."""
    sqlite_journals: tuple[int, ...]
    postgres_journals: tuple[int, ...]
    refunds: int
    """In the history that is back-filled."""


DEFAULT = Extent(5, 16_000, 6_000, 1_000, (10_000, 100_000, 1_000_000), (10_000, 100_000), 1_000)
FULL = Extent(9, 40_000, 12_000, 600, (10_000, 100_000, 1_000_000), (10_000, 100_000, 1_000_000), 3_000)
QUICK = Extent(1, 6_000, 1_500, 600, (5_000, 50_000), (5_000,), 200)
