"""Stripe's API asked over HTTP: a fake, which can say only what Stripe publishes, and a source of ours that asks it."""

from ledger.facts import Fact
from ledger.instants import DAY, SECOND, Instant, from_rfc3339
from sources.base import Event, Message
from sources.polling import Feed, Listed
from sources.stripe import Stripe, StripeSettings
from sources.stripe_api import StripePoller
from tests.fakes.stripe import KEY, FakeStripe

NOW = from_rfc3339("2026-11-20T12:00:00Z")
HOUR = 3600 * SECOND
ACCOUNT = "acct_1Connected"


class Asked:
    """A fake, and a source of ours that asks it."""

    def __init__(self, fake: FakeStripe, base: str, **settings: object) -> None:
        own = {"kind": "stripe", "webhook_secrets": ["s"], "api_key": KEY, "api_base": base, "livemode": False}
        self.fake = fake
        self.source = Stripe("stripe", StripeSettings.model_validate({**own, "requests_per_second": 100, **settings}))
        self.poller = StripePoller(self.source, lambda: self.fake.now)

    def feed(self, name: str) -> Feed:
        [feed] = [feed for feed in self.poller.feeds() if feed.name == name]
        return feed

    async def fetch(self, name: str, since: Instant = NOW - DAY, until: Instant | None = None) -> list[Message]:
        pages = self.feed(name).fetch(since, self.fake.now + SECOND if until is None else until)
        return [message async for fetched in pages for message in fetched.messages]

    async def facts(self, about: str) -> list[Fact]:
        fetched = (await self.poller.ask(about, 0)).fetched
        return [fact for message in fetched.messages for fact in self.interpret(message, fetched.as_of)]

    async def listed(self, since: Instant, until: Instant) -> list[Listed]:
        return [one async for page in self.poller.listed(since, until) for one in page]

    def interpret(self, message: Message, as_of: Instant) -> list[Fact]:
        return self.source.interpret(event(message.type, message.body, as_of))


def event(event_type: str, body: bytes, received_at: Instant = NOW) -> Event:
    return Event(1, "stripe", "k", event_type, body, received_at)
