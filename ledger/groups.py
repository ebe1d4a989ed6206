"""What was named together belongs together (a union-find)."""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Groups(Generic[K]):
    """Disjoint groups of keys."""

    def __init__(self) -> None:
        self._above: dict[K, K] = {}

    def root(self, key: K) -> K:
        """The key that stands for the whole group of `key`, for as long as nothing is joined."""
        while (above := self._above.setdefault(key, key)) != key:
            self._above[key] = self._above[above]
            key = above
        return key

    def join(self, keys: Iterable[K]) -> None:
        """Make one group of the groups of all these keys."""
        first: K | None = None
        for key in keys:
            root = self.root(key)
            if first is None:
                first = root
            else:
                self._above[root] = first

    def members(self) -> dict[K, list[K]]:
        """Every group, under the key that stands for it."""
        members: defaultdict[K, list[K]] = defaultdict(list)
        for key in list(self._above):
            members[self.root(key)].append(key)
        return members
