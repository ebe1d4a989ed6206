"""How the tests ask the fake."""

from dataclasses import dataclass, field

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from ledger.facts import Fact
from ledger.instants import Instant, from_rfc3339
from ledger.payments import Returned, fold_gateway
from sources.authorizenet import AuthorizeNet, AuthorizeNetSettings
from sources.authorizenet_api import AuthorizeNetPoller
from sources.base import Delivery, Event, Message
from tests.fakes.authorizenet import KEY, LOGIN, SIGNATURE_KEY, signed
from tests.sources.questions import open_questions

T0 = from_rfc3339("2026-11-02T15:00:00Z")


class Door:
    """One address for all the tests; behind it is the fake of the one that runs."""

    app: ASGIApp
    address = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def source(address: str, **settings: object) -> AuthorizeNet:
    told = {
        "kind": "authorizenet",
        "webhook_secrets": SIGNATURE_KEY,
        "api_login_id": LOGIN,
        "transaction_key": KEY,
        "api_base": address,
        "requests_per_second": 100,
    }
    return AuthorizeNet("anet", AuthorizeNetSettings.model_validate(told | settings))


@dataclass
class Reader:
    """What the daemon does with what arrives and with what it fetched, in a few lines."""

    anet: AuthorizeNet
    poller: AuthorizeNetPoller
    facts: list[Fact] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    questions: list[str] = field(default_factory=list)

    def take(self, messages: list[Message], as_of: Instant) -> None:
        for message in messages:
            if message.verdict == "used" and message.key not in self.keys:
                self.keys.add(message.key)
                event = Event(1, "anet", str(message.key), message.type, message.body, as_of)
                self.facts += self.anet.interpret(event)
                self.questions += open_questions(self.anet, event)

    def deliver(self, body: bytes, now: Instant) -> None:
        delivery = Delivery(signed(body), body, now)
        assert self.anet.authentic(delivery)
        self.take(self.anet.messages(delivery), now)

    async def walk(self, since: Instant, until: Instant) -> list[Message]:
        """Walk through the lists; what they told."""
        told: list[Message] = []
        for feed in self.poller.feeds():
            async for fetched in feed.fetch(since, until):
                self.take(fetched.messages, fetched.as_of)
                told += fetched.messages
        return told

    async def ask(self) -> None:
        """Ask everything that is open, once."""
        for _ in range(100):
            if not self.questions:
                return
            fetched, _ = await self.poller.ask(self.questions.pop(0), 0)
            self.take(fetched.messages, fetched.as_of)
        pytest.fail("the questions have no end")

    def returned(self) -> dict[str, Returned]:
        return {r.refund.id: r for r in fold_gateway(self.facts)[1]}
