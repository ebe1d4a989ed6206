"""Asking Authorize.net: its lists, its details, its bad days."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from ledger.facts import DisputeFact, Fact, PaymentFact
from ledger.instants import DAY, Instant, from_rfc3339
from ledger.payments import Returned, fold_gateway
from sources import authorizenet_api, http_client
from sources.authorizenet import AuthorizeNet, AuthorizeNetSettings
from sources.authorizenet_api import AuthorizeNetPoller
from sources.base import Delivery, Event, Message
from sources.polling import HOUR, ApiFailed, Listed
from tests.fakes.authorizenet import KEY, LOGIN, SIGNATURE_KEY, FakeAuthorizeNet, signed
from tests.fakes.faults import Fault, answer, cut, html, serving, silence

T0 = from_rfc3339("2026-11-02T15:00:00Z")


class Door:
    """One address for all the tests; behind it is the fake of the one that runs."""

    app: ASGIApp
    address = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    opened = Door()
    with serving(opened) as opened.address:
        yield opened


@pytest.fixture
def fake(door: Door) -> FakeAuthorizeNet:
    made = FakeAuthorizeNet(T0)
    door.app = made.faults
    return made


@pytest.fixture
def anet(fake: FakeAuthorizeNet, door: Door, monkeypatch: pytest.MonkeyPatch) -> AuthorizeNet:
    """A source that asks the fake, by the fake's clock."""
    monkeypatch.setattr(http_client, "system_clock", lambda: fake.now)
    return source(door.address)


@pytest.fixture
async def poller(anet: AuthorizeNet) -> AsyncIterator[AuthorizeNetPoller]:
    made = anet.poller()
    yield made
    await made.close()


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
                self.questions += self.anet.questions(event)

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


@pytest.fixture
def reader(anet: AuthorizeNet, poller: AuthorizeNetPoller) -> Reader:
    return Reader(anet, poller)


async def listed(poller: AuthorizeNetPoller, since: Instant, until: Instant) -> list[Listed]:
    return [one async for page in poller.listed(since, until) for one in page]


# The lists -----------------------------------------------------------------------------------------------------------


async def test_a_refund_is_found_in_the_unsettled_list_with_its_payment_and_its_order(
    fake: FakeAuthorizeNet, reader: Reader
) -> None:
    sale = fake.sell("98.10", "104233")
    refund = fake.refund(sale, "25.50", "104233")

    await reader.walk(T0 - DAY, T0)

    [found] = reader.returned().values()
    assert (found.refund.id, found.refund.status, found.refund.amount) == (refund, "pending", 2550)
    assert found.payment
    assert (found.payment.ids, found.order_refs) == ((sale,), ("104233",))
    assert reader.questions == [f"refund:{refund}", f"payment:{sale}"]


async def test_the_payment_of_a_refund_tells_the_order_where_the_refund_does_not(
    fake: FakeAuthorizeNet, reader: Reader
) -> None:
    fake.refund(fake.sell("98.10", "104233"), "25.50")
    await reader.walk(T0 - DAY, T0)
    await reader.ask()

    [found] = reader.returned().values()
    assert found.order_refs == ("104233",)
    assert found.payment
    assert found.payment.captured == 9810


async def test_a_refund_has_succeeded_once_it_settled_and_failed_where_it_could_not(
    fake: FakeAuthorizeNet, reader: Reader
) -> None:
    sale = fake.sell("98.10")
    good, bad = fake.refund(sale, "10"), fake.refund(sale, "20")
    await reader.walk(T0 - DAY, T0)
    fake.unfit_for_settlement.add(bad)
    fake.now += DAY
    fake.settle()
    await reader.walk(T0, fake.now)

    assert {i: r.refund.status for i, r in reader.returned().items()} == {good: "succeeded", bad: "failed"}


async def test_a_payment_that_no_webhook_told_of_is_learned_when_it_settles(
    fake: FakeAuthorizeNet, reader: Reader
) -> None:
    sale = fake.sell("98.10", "104233")
    fake.settle()
    [message] = await reader.walk(T0 - DAY, T0)

    assert reader.facts == [PaymentFact("anet", (sale,), T0, "USD", captured=9810, order_refs=("104233",))]
    assert b"Ellen" not in message.body
    assert fake.faults.requests == ["POST /xml/v1/request.api"] * 3


async def test_a_webhook_and_a_list_tell_the_same_of_a_payment(fake: FakeAuthorizeNet, reader: Reader) -> None:
    fake.sell("98.10", "104233")
    fake.settle()
    reader.deliver(fake.notifications[0], T0)
    await reader.walk(T0 - DAY, T0)

    told, seen = reader.facts
    assert isinstance(told, PaymentFact)
    assert isinstance(seen, PaymentFact)
    assert replace(told, as_of=seen.as_of) == seen


async def test_what_the_lists_told_and_what_is_stored_is_not_fetched_again(
    fake: FakeAuthorizeNet, reader: Reader
) -> None:
    fake.refund(fake.sell("98.10"), "25.50")
    assert len(await reader.walk(T0 - DAY, T0)) == 1
    assert await reader.walk(T0 - DAY, T0) == []


async def test_what_was_not_stored_is_fetched_again(fake: FakeAuthorizeNet, reader: Reader) -> None:
    fake.refund(fake.sell("98.10"), "25.50")
    unsettled = reader.poller.feeds()[0]
    # Whoever stops here has stored nothing.
    async for fetched in unsettled.fetch(T0 - DAY, T0):
        assert fetched.messages
        break

    assert len(await reader.walk(T0 - DAY, T0)) == 1


async def test_what_has_no_details_yet_is_fetched_the_next_time(fake: FakeAuthorizeNet, reader: Reader) -> None:
    fake.refund(fake.sell("98.10"), "25.50")
    missing = b'{"messages":{"resultCode":"Error","message":[{"code":"E00040","text":"not found"}]}}'
    fake.faults.then(None, answer(200, missing))
    assert await reader.walk(T0 - DAY, T0) == []

    assert len(await reader.walk(T0 - DAY, T0)) == 1


async def test_what_the_lists_told_is_not_remembered_without_end(
    fake: FakeAuthorizeNet, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.refund(fake.sell("98.10"), "25.50")
    await reader.walk(T0 - DAY, T0)
    monkeypatch.setattr(authorizenet_api, "TOLD_MAX", 0)

    assert len(await reader.walk(T0 - DAY, T0)) == 1


async def test_the_same_state_fetched_by_two_processes_is_one_event(
    fake: FakeAuthorizeNet, anet: AuthorizeNet, reader: Reader
) -> None:
    fake.refund(fake.sell("98.10"), "25.50")
    first = await reader.walk(T0 - DAY, T0)
    reader.poller = anet.poller()
    second = await reader.walk(T0 - DAY, T0)
    await reader.poller.close()

    assert [m.key for m in first] == [m.key for m in second]


async def test_lists_are_read_to_the_end_page_by_page(
    fake: FakeAuthorizeNet, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authorizenet_api, "PAGE", 2)
    sales = [fake.sell("10") for _ in range(5)]
    fake.settle()
    refunds = [fake.refund(sale, "5") for sale in sales]
    await reader.walk(T0 - DAY, T0)

    assert list(reader.returned()) == refunds
    assert {i for f in reader.facts if isinstance(f, PaymentFact) for i in f.ids} == set(sales)


async def test_a_list_without_an_end_is_given_up(
    fake: FakeAuthorizeNet, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authorizenet_api, "PAGE", 0)
    monkeypatch.setattr(authorizenet_api, "PAGES_MAX", 3)
    with pytest.raises(ApiFailed, match="no end"):
        await reader.walk(T0 - DAY, T0)


async def test_no_window_is_longer_than_the_gateway_allows(fake: FakeAuthorizeNet, poller: AuthorizeNetPoller) -> None:
    settled = poller.feeds()[1]
    assert [f async for f in settled.fetch(T0 - settled.window + 1, T0 + 1)] == []
    with pytest.raises(ApiFailed, match="E00013"):
        [f async for f in settled.fetch(T0 - 32 * DAY, T0)]


# Voids, chargebacks, credits -----------------------------------------------------------------------------------------


async def test_a_void_of_a_captured_payment_returns_it_and_a_void_of_an_authorisation_nothing(
    fake: FakeAuthorizeNet, reader: Reader
) -> None:
    captured, authorised = fake.sell("98.10"), fake.sell("50", capture=False)
    fake.void(captured)
    fake.void(authorised)
    await reader.walk(T0 - DAY, T0)

    assert {i: (r.refund.kind, r.refund.returned) for i, r in reader.returned().items()} == {captured: ("void", 9810)}


async def test_the_void_of_a_refund_cancels_it_by_webhook_and_by_list(fake: FakeAuthorizeNet, reader: Reader) -> None:
    sale = fake.sell("98.10")
    refund = fake.refund(sale, "25.50")
    fake.now += HOUR
    fake.void(refund)
    for body in fake.notifications:
        reader.deliver(body, fake.now)
    assert reader.returned()[refund].refund.status == "canceled"

    by_list = Reader(reader.anet, reader.poller)
    await by_list.walk(T0 - DAY, fake.now)
    assert by_list.returned()[refund].refund.status == "canceled"


async def test_an_unlinked_credit_stays_visible(fake: FakeAuthorizeNet, reader: Reader) -> None:
    credit = fake.refund(None, "25.50")
    await reader.walk(T0 - DAY, T0)

    assert reader.returned()[credit].payment is None
    assert reader.returned()[credit].refund.amount == 2550


async def test_chargebacks_and_their_reversals_are_found_though_no_webhook_tells(
    fake: FakeAuthorizeNet, reader: Reader
) -> None:
    lost, won = fake.sell("98.10"), fake.sell("50")
    fake.settle()
    fake.charge_back(lost)
    fake.charge_back(won)
    await reader.walk(T0 - DAY, T0)
    assert {i: r.refund.status for i, r in reader.returned().items()} == {lost: "succeeded", won: "succeeded"}

    fake.now += DAY
    fake.give_back(won)
    await reader.ask()
    assert {i: r.refund.status for i, r in reader.returned().items()} == {lost: "succeeded", won: "reversed"}


async def test_a_chargeback_after_a_refund_is_found_by_asking_about_the_payment(
    fake: FakeAuthorizeNet, reader: Reader
) -> None:
    sale = fake.sell("98.10")
    fake.refund(sale, "25.50")
    fake.settle()
    fake.now += 60 * DAY
    fake.charge_back(sale)
    _, again = await reader.poller.ask(f"payment:{sale}", 60 * DAY)
    fetched, _ = await reader.poller.ask(f"payment:{sale}", 60 * DAY)
    reader.take(fetched.messages, fetched.as_of)

    assert again is not None
    assert [type(f) for f in reader.facts] == [PaymentFact, DisputeFact]


async def test_an_electronic_check_that_comes_back_takes_the_money(fake: FakeAuthorizeNet, reader: Reader) -> None:
    sale = fake.sell("98.10")
    fake.settle()
    fake.return_item(sale)
    await reader.walk(T0 - DAY, T0)

    assert reader.returned()[sale].refund.kind == "chargeback"


# Webhooks lost -------------------------------------------------------------------------------------------------------


def a_month(fake: FakeAuthorizeNet) -> None:
    """Thirty days of sales, refunds, voids and settlements."""
    for day in range(30):
        sale, small, authorised = fake.sell("98.10", f"A{day}"), fake.sell("10"), fake.sell("5", capture=False)
        fake.now += 2 * HOUR
        fake.void(small if day % 3 else authorised)
        fake.capture(authorised) if day % 3 else None
        fake.settle()
        fake.now += 2 * HOUR
        refund = fake.refund(sale, "25.50", f"A{day}")
        if day % 5 == 0:
            fake.void(refund)
        fake.now += DAY - 4 * HOUR


async def test_a_month_without_webhooks_ends_as_a_month_with_all_of_them(
    fake: FakeAuthorizeNet, anet: AuthorizeNet, reader: Reader
) -> None:
    a_month(fake)
    start = T0 - DAY
    informed = Reader(anet, reader.poller)
    for body in [*fake.notifications[::-1], *fake.notifications]:
        informed.deliver(body, fake.now)
    await informed.ask()
    # A poller of its own, as after a restart: what it told the one it will tell the other.
    reader.poller = anet.poller()
    for since in range(start, fake.now, 10 * DAY):
        await reader.walk(since, since + 10 * DAY)
    await reader.ask()
    await reader.poller.close()

    def told(by: Reader) -> dict[str, tuple[Any, ...]]:
        # The void of a refund names the refund as if it were a payment, which no order does.
        found = {i: (r.refund, r.payment.ids[0] if r.payment else None) for i, r in by.returned().items()}
        return {i: (one.kind, one.status, one.amount, payment) for i, (one, payment) in found.items()}

    assert told(reader) == told(informed)
    assert len(told(reader)) == 30 + 20


# Questions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "age", "again"),
    [
        ("refundPendingSettlement", 0, HOUR),
        ("refundPendingSettlement", 3 * DAY, 6 * HOUR),
        ("refundPendingSettlement", 120 * DAY, None),
        ("FDSPendingReview", 0, HOUR),
        ("settledSuccessfully", 0, DAY),
        ("settledSuccessfully", 60 * DAY, 7 * DAY),
        ("settledSuccessfully", 120 * DAY, None),
        ("chargeback", 0, DAY),
        ("refundSettledSuccessfully", 0, None),
        ("voided", 0, None),
        ("declined", 0, None),
        ("settlementError", 0, None),
    ],
)
async def test_it_is_asked_again_until_it_ended(
    fake: FakeAuthorizeNet, poller: AuthorizeNetPoller, status: str, age: Instant, again: Instant | None
) -> None:
    refund = fake.refund(fake.sell("98.10"), "25.50")
    fake.transactions[refund].status = status

    answered = await poller.ask(f"refund:{refund}", age)

    assert answered.again_after == again
    assert answered.fetched.as_of == T0


async def test_what_is_not_there_yet_is_asked_for_a_day(poller: AuthorizeNetPoller) -> None:
    assert await poller.ask("refund:1", 0) == ((T0, []), HOUR)
    assert await poller.ask("refund:1", DAY) == ((T0, []), None)


@pytest.mark.parametrize("about", ["refund:", "refund:abc", "payment:1 or 1", "refund:" + "1" * 30, "refund:\u0663"])
async def test_what_is_no_transaction_id_is_never_sent(
    fake: FakeAuthorizeNet, poller: AuthorizeNetPoller, about: str
) -> None:
    assert (await poller.ask(about, 0)).fetched.messages == []
    assert fake.faults.requests == []


async def test_the_answer_is_kept_as_it_came_but_for_its_byte_order_mark(
    fake: FakeAuthorizeNet, poller: AuthorizeNetPoller
) -> None:
    refund = fake.refund(fake.sell("98.10"), "25.50")
    [message] = (await poller.ask(f"refund:{refund}", 0)).fetched.messages

    assert message.body.startswith(b'{"transaction":{')
    assert b'"authAmount":25.50,' in message.body


# The gateway's own list ----------------------------------------------------------------------------------------------


async def test_the_gateways_own_list_has_refunds_voids_and_chargebacks(
    fake: FakeAuthorizeNet, poller: AuthorizeNetPoller
) -> None:
    sale, disputed, voided, released = (
        fake.sell("98.10"),
        fake.sell("50"),
        fake.sell("7"),
        fake.sell("6", capture=False),
    )
    fake.void(voided)
    fake.void(released)
    settled = fake.refund(sale, "10")
    fake.settle()
    fake.charge_back(disputed)
    pending, canceled = fake.refund(sale, "20"), fake.refund(sale, "30")
    fake.void(canceled)

    found = {one.id: one for one in await listed(poller, T0 - DAY, T0 + DAY)}

    assert {i: (one.kind, one.status, one.amount) for i, one in found.items()} == {
        settled: ("refund", "succeeded", 1000),
        pending: ("refund", "pending", 2000),
        canceled: ("refund", "canceled", 3000),
        voided: ("void", "succeeded", 700),
        disputed: ("chargeback", "succeeded", 5000),
    }
    assert {(one.currency, one.at) for one in found.values()} == {("USD", T0)}


async def test_the_list_covers_refunds_that_settled_after_the_stretch_and_no_others(
    fake: FakeAuthorizeNet, poller: AuthorizeNetPoller
) -> None:
    early = fake.refund(None, "1")
    fake.now += 40 * DAY
    inside = fake.refund(None, "2")
    fake.now += 2 * DAY
    late = fake.refund(None, "3")
    fake.now += DAY
    fake.settle()

    assert [one.id for one in await listed(poller, T0 + DAY, T0 + 41 * DAY)] == [inside]
    assert {one.id for one in await listed(poller, T0, fake.now)} == {early, inside, late}


async def test_a_listed_transaction_that_cannot_be_read_ends_the_comparison(
    fake: FakeAuthorizeNet, poller: AuthorizeNetPoller
) -> None:
    fake.void(fake.sell("98.10"))
    strange = b'{"messages":{"resultCode":"Ok"},"transaction":{"transId":"1","transactionStatus":"strange"}}'
    for body, reason in ((strange, "transactionStatus is not known"), (strange.replace(b'"1"', b"[]"), "transId")):
        fake.faults.then(None, answer(200, body))
        with pytest.raises(ApiFailed, match=reason):
            await listed(poller, T0 - DAY, T0 + DAY)


# Our endpoint --------------------------------------------------------------------------------------------------------


def endpoint(**changes: object) -> dict[str, object]:
    types = list(AuthorizeNet.used_events)
    return {"url": "https://h.example/webhooks/anet", "status": "active", "eventTypes": types, **changes}


@pytest.mark.parametrize(
    ("webhooks", "faults"),
    [
        ([endpoint()], []),
        ([endpoint(status="inactive"), endpoint(), endpoint(url="https://other.example/")], []),
        ([endpoint(eventTypes=[t.upper() for t in AuthorizeNet.used_events])], []),
        ([], ["no webhook of the account has an address that ends in /webhooks/anet: add one"]),
        ([endpoint(url="https://h.example/webhooks/anet2"), endpoint(url=None)], ["no webhook of the account"]),
        ([endpoint(status="inactive")], ["the webhook is not active"]),
        (
            [endpoint(eventTypes=list(AuthorizeNet.used_events[1:]))],
            ["the webhook is not subscribed to net.authorize.payment.refund.created"],
        ),
        ([endpoint(status=None, eventTypes=None)], ["the webhook is not active", "the webhook is not subscribed to"]),
    ],
)
async def test_what_is_wrong_with_our_endpoint_is_said(
    fake: FakeAuthorizeNet, poller: AuthorizeNetPoller, webhooks: list[dict[str, Any]], faults: list[str]
) -> None:
    fake.webhooks = webhooks
    told = await poller.faults()

    assert len(told) == len(faults)
    assert all(sentence.startswith(fault) for sentence, fault in zip(told, faults, strict=True))


@pytest.mark.parametrize("reply", [answer(200, "{}"), answer(200, "[1]"), answer(404), html()])
async def test_a_list_of_webhooks_that_cannot_be_read_is_no_answer(
    fake: FakeAuthorizeNet, poller: AuthorizeNetPoller, reply: Fault
) -> None:
    fake.faults.then(reply)
    with pytest.raises(ApiFailed, match="the list of webhooks"):
        await poller.faults()


# Bad days ------------------------------------------------------------------------------------------------------------

BAD_DAYS = [
    (answer(500), "HTTP 500"),
    (answer(503, "<html>"), "HTTP 503"),
    (answer(302, location="https://elsewhere.example/"), "HTTP 302"),
    (answer(404), "HTTP 404"),
    (answer(204), "HTTP 204"),
    (html(), "not JSON"),
    (cut, "the connection failed: RemoteProtocolError"),
    (answer(200, b"\xff\xfe{}"), "not UTF-8"),
    (answer(200, b""), "not JSON"),
    (answer(200, b"null"), "not an object"),
    (answer(200, b"{}"), "messages is not an object"),
    (answer(200, b'{"messages":{"resultCode":"Error"}}'), "an error without a code"),
    (answer(200, b'{"messages":{"resultCode":"Error","message":{"code":"E00001","text":"x"}}}'), "E00001"),
    (answer(200, b'{"messages":{"resultCode":"Error","message":[{"code":"' + b"k" * 99 + b'"}]}}'), "without a code"),
    (answer(200, b'{"messages":{"resultCode":"Ok"},"transactions":{"transaction":[]}}'), "not a list"),
    (answer(200, b'{"messages":{"resultCode":"Ok"},"transactions":[1]}'), "not an object"),
    (answer(200, b'{"messages":{"resultCode":"Ok"},"transactions":[{"transId":"1"}]}'), "transactionStatus"),
    (answer(200, b"[" * 100_000), "not JSON"),
]


@pytest.mark.parametrize(("reply", "reason"), BAD_DAYS, ids=[reason for _, reason in BAD_DAYS])
async def test_what_is_no_answer_fails_with_its_reason_and_the_next_poll_goes_on(
    fake: FakeAuthorizeNet, reader: Reader, reply: Fault, reason: str
) -> None:
    fake.refund(fake.sell("98.10"), "25.50")
    fake.faults.then(reply)

    with pytest.raises(ApiFailed, match=reason) as failure:
        await reader.walk(T0 - DAY, T0)

    assert not failure.value.permanent
    assert failure.value.retry_after_seconds is None
    assert len(await reader.walk(T0 - DAY, T0)) == 1


async def test_a_failure_in_the_middle_keeps_what_was_told_and_tells_the_rest_the_next_time(
    fake: FakeAuthorizeNet, reader: Reader
) -> None:
    refunds = [fake.refund(None, "5") for _ in range(3)]
    fake.faults.then(None, None, answer(500))  # the list, the first details, and then
    with pytest.raises(ApiFailed):
        await reader.walk(T0 - DAY, T0)
    assert list(reader.returned()) == refunds[:1]

    assert len(await reader.walk(T0 - DAY, T0)) == 2
    assert list(reader.returned()) == refunds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7),
        ({"retry_after": "99999999999999999999"}, 86_400),
        ({"retry_after": "Mon, 02 Nov 2026 15:01:00 GMT", "date": "Mon, 02 Nov 2026 15:00:00 GMT"}, 60),
        ({"retry_after": "Mon, 02 Nov 2026 14:00:00 GMT", "date": "Mon, 02 Nov 2026 15:00:00 GMT"}, 0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "-1"}, None),
        ({}, None),
    ],
)
async def test_it_is_asked_to_wait_for_as_long_as_the_gateway_says(
    fake: FakeAuthorizeNet, poller: AuthorizeNetPoller, headers: dict[str, str], seconds: float | None
) -> None:
    fake.faults.then(answer(429, **headers))
    with pytest.raises(ApiFailed) as failure:
        await poller.ask("refund:1", 0)

    assert failure.value.retry_after_seconds == seconds


async def test_a_gateway_that_says_nothing_is_not_waited_for_without_end(
    fake: FakeAuthorizeNet, poller: AuthorizeNetPoller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "CALL_SECONDS_MAX", 0.2)
    fake.faults.then(silence)
    with pytest.raises(ApiFailed, match="no answer in time"):
        await poller.ask("refund:1", 0)


async def test_an_answer_without_an_end_is_not_read_to_it(
    fake: FakeAuthorizeNet, poller: AuthorizeNetPoller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "BODY_MAX", 1000)
    fake.faults.then(answer(200, b" " * 100_000))
    with pytest.raises(ApiFailed, match="too large"):
        await poller.ask("refund:1", 0)


async def test_a_gateway_that_is_not_there_is_no_answer() -> None:
    poller = source("http://127.0.0.1:1").poller()
    with pytest.raises(ApiFailed, match="the connection failed: ConnectError"):
        await poller.faults()
    await poller.close()


@pytest.mark.parametrize(
    ("settings", "details_enabled", "mend"),
    [
        ({"transaction_key": "wrong-key-of-ours"}, True, "E00007, api_login_id and transaction_key do not fit"),
        ({}, False, "E00011, enable Account > Settings > Transaction Details API"),
    ],
)
async def test_what_only_people_can_mend_says_so_and_shows_no_secret(
    fake: FakeAuthorizeNet, door: Door, settings: dict[str, str], details_enabled: bool, mend: str
) -> None:
    fake.details_enabled = details_enabled
    poller = source(door.address, **settings).poller()
    with pytest.raises(ApiFailed, match=mend) as failure:
        await poller.ask("refund:1", 0)
    await poller.close()

    assert failure.value.permanent
    assert "wrong-key-of-ours" not in str(failure.value)
    assert LOGIN not in str(failure.value)


@pytest.mark.usefixtures("fake")
async def test_a_wrong_key_is_refused_by_the_list_of_webhooks(door: Door) -> None:
    poller = source(door.address, transaction_key="wrong").poller()
    with pytest.raises(ApiFailed, match="401") as failure:
        await poller.faults()
    await poller.close()

    assert failure.value.permanent


@pytest.mark.usefixtures("fake")
async def test_calls_are_paced_however_many_tasks_ask(door: Door) -> None:
    poller = source(door.address, requests_per_second=20).poller()
    await asyncio.gather(*(poller.ask("refund:1", 0) for _ in range(4)))
    await poller.close()

    assert poller._http._pace.waited_seconds > 0.05 + 0.10


# The fake itself -----------------------------------------------------------------------------------------------------


async def test_the_fake_validates_the_order_of_elements_as_the_schema_does(
    fake: FakeAuthorizeNet, poller: AuthorizeNetPoller
) -> None:
    wrong: list[dict[str, Any]] = [
        {"paging": {"limit": 1, "offset": 1}, "sorting": {"orderBy": "id", "orderDescending": False}},
        {"sorting": {"orderDescending": False, "orderBy": "id"}, "paging": {"limit": 1, "offset": 1}},
        {"batch": "1"},
    ]
    for what in wrong:
        with pytest.raises(ApiFailed, match="E00003") as failure:
            await poller._request("getUnsettledTransactionListRequest", what)
        assert failure.value.permanent


def test_the_fake_writes_amounts_as_numbers_with_the_digits_they_have(fake: FakeAuthorizeNet) -> None:
    fake.sell("300.00")

    assert b'"authAmount":300.00' in fake.notifications[0]
    assert json.loads(fake.notifications[0])["payload"]["id"]
