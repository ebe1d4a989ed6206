"""What every source is: the contract between an outside system's file and the rest of the house."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Generic, Literal, TypeVar

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field, field_validator

from config.values import ApiBase, Duration, PollInterval, Secret, together_with
from ledger.facts import Fact
from ledger.instants import Instant

if TYPE_CHECKING:
    from sources.polling import Poller


class NotUnderstood(Exception):  # noqa: N818 - the word that the contract uses
    """An authentic event that cannot be interpreted; the text is the reason, and quotes nothing personal."""


class NotReady(Exception):  # noqa: N818 - it says what the listener answers
    """What a delivery is verified with cannot be had just now: its sender has to come again."""


class Delivery(Struct, frozen=True, gc=False):
    """A webhook as it arrived. Header names are lower case, values as sent (latin-1)."""

    headers: Mapping[str, str]
    body: bytes
    arrived_at: Instant


class Message(Struct, frozen=True, gc=False):
    """One item of a delivery: one row of the journal."""

    key: str | None
    """The identity of the event: printable ASCII, at most 255 characters. None: never a duplicate."""
    type: str
    body: bytes
    verdict: Literal["used", "ignored", "malformed"] = "used"
    """`ignored`: of no use to us, or of the wrong mode: counted, not stored. `malformed`: authentic but not
    understood: stored, and set aside with its reason when it is interpreted."""


class Event(Struct, frozen=True, gc=False):
    """A message out of the journal."""

    id: int
    source: str
    key: str
    type: str
    body: bytes
    received_at: Instant


class SourceSettings(BaseModel):
    """The keys that every source has. Each source adds its own and refuses the rest."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True)

    kind: str
    grace_period: Duration | None = None
    """None: the one of the whole ledger."""


class GatewaySettings(SourceSettings):
    """The keys that every gateway has."""

    stores: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """The storefronts that it serves; None: all."""


class PolledSettings(GatewaySettings):
    """The keys of a gateway that is polled and sends nothing here."""

    poll_interval: PollInterval = "15m"  # type: ignore[assignment]
    poll_since: Duration = "30d"  # type: ignore[assignment]

    @field_validator("poll_interval")
    @classmethod
    def _is_polled(cls, interval: PollInterval) -> PollInterval:
        if interval is None:
            raise ValueError('this source is only polled: give an interval, as "15m", or take the source out')
        return interval


class StorefrontSettings(SourceSettings):
    """The keys that every storefront has."""

    # An address may hold a password where it should not, so a wrong one is not shown.
    api_base: ApiBase | None = Field(None, repr=False)
    api_token: Annotated[Secret | None, together_with("api_base")] = None
    payment_methods: dict[str, str] = Field(default_factory=dict)
    """The storefront's name of a payment method = our source."""
    offline_methods: tuple[str, ...] = ()
    """Payment methods that are never a gateway."""


S = TypeVar("S", bound=SourceSettings)
P = TypeVar("P", bound=PolledSettings)


class Source(ABC, Generic[S]):
    """A configured connection to an outside system."""

    kind: ClassVar[str]
    role: ClassVar[Literal["gateway", "storefront"]]
    settings_model: ClassVar[type[SourceSettings]]
    used_events: ClassVar[tuple[str, ...]]
    """The one list of event types: listener, interpreter and documentation read it."""
    kept_headers: ClassVar[tuple[str, ...]]
    """The headers that are stored with an event, lower case. Never one that holds a static secret."""
    payment_id_form: ClassVar[str] = ""
    """Regular expression of a gateway's payment ids, where their form tells them from other gateways'."""
    only_polled: ClassVar[bool] = False
    """Whether nothing but polling tells of its refunds."""
    accepted_reply: ClassVar[bytes | None] = None
    """The plain text that the sender wants with every 200; None: our own JSON."""

    def __init__(self, name: str, settings: S) -> None:
        self.name = name
        self.settings = settings

    async def prepare(self, delivery: Delivery) -> None:
        """Fetch what `authentic` needs and is not there, as a certificate. Awaited before it.

        Whatever arrives, by whomever sent, may cost only a bounded number of calls, each bounded in time and in size,
        and only to the gateway's own hosts. Raises NotReady.
        """

    @abstractmethod
    def authentic(self, delivery: Delivery) -> bool:
        """Whether the sender proved itself. Never raises, whatever arrives."""

    def answer_to_check(self, query: bytes) -> bytes | None:  # noqa: ARG002 - most senders do not ask
        """What the sender wants to read when it checks our address with a GET and this query string, as plain text.

        None: it is no check. Never raises, and what it tells anybody must not help to forge a delivery.
        """
        return None

    @abstractmethod
    def messages(self, delivery: Delivery) -> list[Message]:
        """What an authentic delivery holds. Never raises: what is not understood is a `malformed` message."""

    @abstractmethod
    def interpret(self, event: Event) -> list[Fact]:
        """What the event says. Raises NotUnderstood."""

    @property
    def askable(self) -> bool:
        """Whether it has an API that is configured and not switched off."""
        return False

    def questions(self, event: Event, facts: Sequence[Fact]) -> list[str]:  # noqa: ARG002 - most leave none open
        """What has to be asked for, as "refund:re_1" or "order:1001", beside the facts that `interpret` made of it."""
        return []

    def customer_address(self, event: Event) -> str | None:  # noqa: ARG002 - only a storefront knows its customers
        """The customer's e-mail address in an event about an order; None where it tells none. Never raises."""
        return None

    def poller(self) -> "Poller":
        """Its API, where it is askable. Vendor clients are loaded here and not before."""
        raise NotImplementedError


class PolledSource(Source[P]):
    """A gateway that is polled and sends nothing here."""

    role = "gateway"
    used_events = ()
    kept_headers = ()
    only_polled = True

    def authentic(self, delivery: Delivery) -> bool:  # noqa: ARG002 - whatever it is
        """Nothing is."""
        return False

    def messages(self, delivery: Delivery) -> list[Message]:  # noqa: ARG002
        """None."""
        return []

    @property
    def askable(self) -> bool:
        """Always: its settings allow nothing else."""
        return True
