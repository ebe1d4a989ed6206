"""The settings that pairing depends on, as plain values."""

from msgspec import Struct, field

from ledger.instants import DAY, Instant


class Gateway(Struct, frozen=True):
    """What pairing has to know of a configured gateway."""

    stores: frozenset[str] | None = None
    """The storefronts it serves; None: all."""
    payment_id_form: str = ""
    """Regular expression of its payment ids where their form tells them from other gateways' (as `pi_…`)."""


class Store(Struct, frozen=True):
    """What pairing has to know of a configured storefront."""

    payment_methods: dict[str, str] = field(default_factory=dict)
    """The storefront's name of a payment method = our source."""
    offline_methods: frozenset[str] = frozenset()
    """Payment methods that are never a gateway."""
    has_api: bool = False
    """Whether an order can be asked for."""


class Policy(Struct, frozen=True):
    """All of it. Durations are microseconds."""

    grace: Instant = DAY
    grace_of: dict[str, Instant] = field(default_factory=dict)
    """By source, where it has one of its own."""
    pending_limit: Instant = 7 * DAY
    ledger_start: Instant = 0
    gateways: dict[str, Gateway] = field(default_factory=dict)
    stores: dict[str, Store] = field(default_factory=dict)

    def grace_for(self, source: str) -> Instant:
        """How long what this source told may wait for the other side."""
        return self.grace_of.get(source, self.grace)

    def can_ask(self, store: str) -> bool:
        """Whether this storefront can be asked for an order."""
        return self.stores.get(store, Store()).has_api
