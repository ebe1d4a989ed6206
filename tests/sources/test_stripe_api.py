"""Stripe's API asked over HTTP: a fake answers that can say only what Stripe publishes."""

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ledger.facts import DisputeFact, Fact, PaymentFact, RefundFact
from ledger.instants import DAY, SECOND, Instant, from_rfc3339
from sources import http_client
from sources.base import Delivery, Event, Message
from sources.polling import ApiFailed, Feed, Listed
from sources.stripe import SNAPSHOTS, Stripe, StripeSettings
from sources.stripe_api import StripePoller
from tests.fakes.faults import Fault, answer, cut, html, silence
from tests.fakes.stripe import KEY, FakeStripe, body_of

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


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    fake = FakeStripe(NOW, accounts=(None, ACCOUNT))
    with fake.serving() as base:
        asked = Asked(fake, base)
        yield asked
        await asked.poller.close()


# Lists ---------------------------------------------------------------------------------------------------------------


async def test_a_listed_event_is_the_one_that_the_webhook_brings(asked: Asked) -> None:
    asked.fake.refund(asked.fake.pay(1000), 300)
    delivered = [m for e in asked.fake.outbox for m in asked.source.messages(Delivery({}, body_of(e), NOW))]

    found = await asked.fetch("events")

    assert [(m.key, m.type, m.verdict) for m in reversed(found)] == [(m.key, m.type, m.verdict) for m in delivered]
    assert [json.loads(m.body) for m in reversed(found)] == asked.fake.events()


async def test_a_list_is_paged_to_its_end(asked: Asked) -> None:
    charge = asked.fake.pay(100_000)
    refunds = [asked.fake.refund(charge, 1) for _ in range(201)]

    found = await asked.fetch("refunds")

    assert len(found) == len({m.key for m in found}) == len(refunds)
    assert len(asked.fake.queries) == 3


async def test_a_window_holds_its_first_second_and_not_its_last(asked: Asked) -> None:
    asked.fake.pay(1)
    events = await asked.fetch("events", NOW, NOW + SECOND)

    assert len(events) == 2
    assert await asked.fetch("events", NOW - DAY, NOW) == []
    assert await asked.fetch("events", NOW + SECOND, NOW + DAY) == []


async def test_the_walk_behind_the_checkpoint_finds_what_appears_late(asked: Asked) -> None:
    asked.fake.appears_after = 300 * SECOND
    asked.fake.pay(1)
    feed = asked.feed("events")

    first = await asked.fetch("events", NOW - DAY, NOW + 60 * SECOND)
    asked.fake.now += 400 * SECOND
    second = await asked.fetch("events", NOW + 60 * SECOND - feed.overlap)

    assert (len(first), len(second)) == (0, 2)
    assert feed.lag == 60 * SECOND
    assert feed.horizon == 30 * DAY


async def test_types_that_are_not_used_are_not_asked_for(asked: Asked) -> None:
    await asked.fetch("events")

    [(_, query, _)] = asked.fake.queries
    assert query.count("types") == len(SNAPSHOTS) <= 20


async def test_events_and_refunds_of_the_other_mode_are_left_out(asked: Asked) -> None:
    asked.fake.livemode = True
    refund = asked.fake.refund(asked.fake.pay(1000), 300)

    assert await asked.fetch("events") == []
    assert await asked.fetch("refunds") == []
    assert (await asked.poller.ask(f"refund:{refund}", 0)).fetched.messages == []


async def test_a_refund_is_found_of_which_no_event_was_made(asked: Asked) -> None:
    asked.fake.never_made = set(SNAPSHOTS)
    charge = asked.fake.pay(1000, metadata={"order_id": "1001"})
    refund = asked.fake.refund(charge, 300)

    [found] = await asked.fetch("refunds")

    intent = asked.fake.find(charge)["payment_intent"]
    returned, payment = asked.interpret(found, NOW + HOUR)
    assert returned == RefundFact(
        "stripe", refund, "refund", "succeeded", 300, "GBP", NOW, NOW + HOUR, (charge, intent), ("1001",)
    )
    assert payment == PaymentFact("stripe", (charge, intent), NOW + HOUR, "GBP", 1000, 1000)


async def test_the_same_state_has_the_same_key_and_another_has_another(asked: Asked) -> None:
    refund = asked.fake.refund(asked.fake.pay(1000), 300, "pending")

    [first], [again] = await asked.fetch("refunds"), await asked.fetch("refunds")
    asked.fake.becomes(refund, "failed")
    [failed] = await asked.fetch("refunds")

    assert first == again
    assert first.key
    assert first.key.startswith(f"refund:{refund}:pending:")
    assert failed.key
    assert failed.key.startswith(f"refund:{refund}:failed:")


async def test_what_is_no_refund_in_the_list_of_refunds_is_set_aside(asked: Asked) -> None:
    asked.fake.faults.then(answer(200, '{"object":"list","data":[{"id":1.50},  7 ],"has_more":false}'))

    found = await asked.fetch("refunds")

    assert [(m.verdict, m.body) for m in found] == [("malformed", b'{"id":1.50}'), ("malformed", b"7")]


async def test_the_lists_of_connected_accounts_are_walked_too(asked: Asked) -> None:
    asked.fake.refund(asked.fake.pay(1000, account=ACCOUNT), 300)
    asked.poller = StripePoller(
        Stripe("stripe", asked.source.settings.model_copy(update={"accounts": (ACCOUNT,)})), lambda: NOW
    )

    assert [f.name for f in asked.poller.feeds()] == ["events", "refunds", f"events@{ACCOUNT}", f"refunds@{ACCOUNT}"]
    assert await asked.fetch("refunds") == []
    assert len(await asked.fetch(f"refunds@{ACCOUNT}")) == 1
    assert len(await asked.fetch(f"events@{ACCOUNT}")) == 4
    assert [account for _, _, account in asked.fake.queries] == [None, ACCOUNT, ACCOUNT]


@pytest.mark.parametrize(
    "body",
    [
        '{"object":"list","data":[],"has_more":true}',
        '{"object":"list","data":[7],"has_more":true}',
        '{"object":"list","has_more":false}',
        '{"object":"list","data":{},"has_more":false}',
        "[]",
        "null",
    ],
)
async def test_an_answer_that_is_no_list_is_a_failure(asked: Asked, body: str) -> None:
    asked.fake.faults.then(answer(200, body))

    with pytest.raises(ApiFailed):
        await asked.fetch("refunds")


async def test_a_list_without_an_end_is_a_failure(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.stripe_api.PAGES_MAX", 3)
    asked.fake.faults.then(*[answer(200, '{"data":[{"id":"re_1"}],"has_more":true}')] * 3)

    with pytest.raises(ApiFailed, match="no end"):
        await asked.fetch("refunds")


# Questions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "age", "again"),
    [
        ("pending", 0, HOUR),
        ("pending", 3 * DAY, 6 * HOUR),
        ("pending", 20 * DAY, DAY),
        ("requires_action", 60 * DAY, 7 * DAY),
        ("pending", 90 * DAY, None),
        ("succeeded", 0, DAY),
        ("succeeded", 7 * DAY, 7 * DAY),
        ("succeeded", 90 * DAY, None),
        ("failed", 0, None),
        ("canceled", 0, None),
    ],
)
async def test_a_refund_is_asked_about_until_it_can_no_longer_fail(
    asked: Asked, status: str, age: Instant, again: Instant | None
) -> None:
    refund = asked.fake.refund(asked.fake.pay(1000), 300, status)
    asked.fake.now += age

    found = await asked.poller.ask(f"refund:{refund}", 0)

    assert (found.fetched.as_of, found.again_after) == (NOW + age, again)
    [message] = found.fetched.messages
    assert (asked.source.questions(event(message.type, message.body, NOW + age)) != []) is (again is not None)


async def test_the_order_is_found_in_the_data_of_the_payment(asked: Asked) -> None:
    charge = asked.fake.pay(1000, metadata={"order_id": "1001"})

    returned, _ = await asked.facts(f"refund:{asked.fake.refund(charge, 300)}")

    assert isinstance(returned, RefundFact)
    assert returned.order_refs == ("1001",)


async def test_a_refund_of_a_connected_account_is_asked_of_that_account(asked: Asked) -> None:
    refund = asked.fake.refund(asked.fake.pay(1000, account=ACCOUNT), 300)
    [told] = [e for e in asked.fake.outbox if e["type"] == "refund.created"]

    [about] = asked.source.questions(event("refund.created", body_of(told)))

    assert about == f"refund:{refund}@{ACCOUNT}"
    assert len((await asked.poller.ask(about, 0)).fetched.messages) == 1
    assert [account for _, _, account in asked.fake.queries] == [ACCOUNT]


async def test_a_refund_of_which_the_account_is_not_told_is_found_among_all(asked: Asked) -> None:
    refund = asked.fake.refund(asked.fake.pay(1000, account=ACCOUNT), 300)
    settings = asked.source.settings.model_copy(update={"accounts": (ACCOUNT,)})
    poller = StripePoller(Stripe("stripe", settings), lambda: NOW)

    assert len((await poller.ask(f"refund:{refund}", 0)).fetched.messages) == 1
    await poller.close()


async def test_what_is_not_there_is_asked_for_a_day(asked: Asked) -> None:
    answers = [await asked.poller.ask("refund:re_none", age) for age in (0, DAY)]

    assert [(a.fetched.messages, a.again_after) for a in answers] == [([], HOUR), ([], None)]


async def test_a_thin_event_leads_to_its_object(asked: Asked) -> None:
    charge = asked.fake.pay(1000, account=ACCOUNT)
    refund, dispute = asked.fake.refund(charge, 300), asked.fake.dispute(charge, 700)
    twins = [asked.fake.thin(e) for e in asked.fake.outbox]
    asked.fake.queries.clear()

    abouts = [a for t in twins for a in asked.source.questions(event(t["type"], json.dumps(t).encode()))]
    facts = [fact for about in dict.fromkeys(abouts) for fact in await asked.facts(about)]

    intent = asked.fake.find(charge)["payment_intent"]
    expected = [f"{kind}@{ACCOUNT}" for kind in (f"charge:{charge}", f"payment_intent:{intent}", f"refund:{refund}")]
    assert list(dict.fromkeys(abouts)) == [*expected, f"dispute:{dispute}@{ACCOUNT}"]
    assert {f.id for f in facts if isinstance(f, RefundFact)} == {refund}
    assert {f.captured for f in facts if isinstance(f, PaymentFact)} == {1000}
    assert [(f.dispute_id, f.amount) for f in facts if isinstance(f, DisputeFact)] == [(dispute, 700)]


async def test_an_authorisation_that_expired_is_released(asked: Asked) -> None:
    charge = asked.fake.pay(1000, capture=False)
    asked.fake.expire(charge)
    intent = asked.fake.find(charge)["payment_intent"]

    facts = [*await asked.facts(f"charge:{charge}"), *await asked.facts(f"payment_intent:{intent}")]

    assert [(f.captured, f.voided) for f in facts if isinstance(f, PaymentFact)] == [(0, True), (0, True)]
    assert not [f for f in facts if isinstance(f, RefundFact)]


@pytest.mark.parametrize(
    "thin",
    [
        {},
        {"related_object": None},
        {"related_object": {"type": "refund"}},
        {"related_object": {"type": "account", "id": "acct_1"}},
        {"related_object": {"type": ["refund"], "id": "re_1"}},
        {"related_object": {"type": "refund", "id": "re_1/../../x?y=1"}},
        {"related_object": {"type": "refund", "id": "re_1@acct_1"}},
        {"related_object": {"type": "refund", "id": 1}},
    ],
)
def test_a_thin_event_that_points_at_nothing_we_know_asks_nothing(thin: dict[str, Any]) -> None:
    body = json.dumps({"id": "evt_1", "type": "v1.refund.created", "livemode": True, **thin}).encode()
    settings = StripeSettings.model_validate({"kind": "stripe", "webhook_secrets": ["s"]})

    assert Stripe("stripe", settings).questions(event("v1.refund.created", body)) == []


@pytest.mark.parametrize(("settings", "askable"), [({}, False), ({"api_key": "rk_1"}, True),
                                                   ({"api_key": "rk_1", "poll_interval": "off"}, False)])  # fmt: skip
def test_a_source_with_a_key_can_be_asked(settings: dict[str, str], *, askable: bool) -> None:
    own = StripeSettings.model_validate({"kind": "stripe", "webhook_secrets": ["s"], **settings})

    assert Stripe("stripe", own).askable is askable


# For comparison ------------------------------------------------------------------------------------------------------


async def test_refunds_and_chargebacks_are_listed_as_the_ledger_has_them(asked: Asked) -> None:
    charge, yen = asked.fake.pay(1000), asked.fake.pay(500, "jpy")
    refunds = [asked.fake.refund(charge, 100), asked.fake.refund(yen, 50, "pending")]
    lost, won = asked.fake.dispute(charge, 200), asked.fake.dispute(charge, 300)
    asked.fake.win(won)
    asked.fake.expire(asked.fake.pay(7, capture=False))

    found = {one.id: one for one in await asked.listed(NOW, NOW + SECOND)}

    assert found == {
        refunds[0]: Listed(refunds[0], "refund", "succeeded", 100, "GBP", NOW),
        refunds[1]: Listed(refunds[1], "refund", "pending", 50, "JPY", NOW),
        lost: Listed(lost, "chargeback", "succeeded", 200, "GBP", NOW),
        won: Listed(won, "chargeback", "reversed", 300, "GBP", NOW),
    }
    assert await asked.listed(NOW - DAY, NOW) == []


async def test_a_listed_refund_that_is_not_understood_is_named_in_the_log(
    asked: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    refund = asked.fake.refund(asked.fake.pay(1000), 100)
    asked.fake.find(refund)["currency"] = "no currency"

    assert await asked.listed(NOW, NOW + SECOND) == []
    assert "not understood" in caplog.text


# Our endpoint over there ---------------------------------------------------------------------------------------------

NAMED = "https://ledger.example.com/webhooks/stripe"


async def test_an_endpoint_that_is_enabled_and_subscribed_has_no_fault(asked: Asked) -> None:
    asked.fake.register(NAMED, SNAPSHOTS)

    assert await asked.poller.faults() == []


@pytest.mark.parametrize(
    ("endpoints", "fault"),
    [
        ([], "no webhook endpoint"),
        ([("https://h/webhooks/other", ("*",), "enabled")], "no webhook endpoint"),
        ([(NAMED, ("*",), "disabled")], "is not enabled"),
        ([(NAMED, SNAPSHOTS[1:], "enabled")], "is not subscribed to refund.created"),
        ([(NAMED, ("*",), "disabled"), (NAMED + "/", ("*",), "enabled")], None),
    ],
)
async def test_what_is_wrong_with_the_endpoint_is_said(
    asked: Asked, endpoints: list[tuple[str, tuple[str, ...], str]], fault: str | None
) -> None:
    for endpoint in endpoints:
        asked.fake.register(*endpoint)

    faults = await asked.poller.faults()

    assert [fault in said for said in faults] == [True] if fault else faults == []


async def test_a_key_of_the_other_mode_is_a_fault(asked: Asked) -> None:
    asked.fake.livemode = True
    asked.fake.register(NAMED)

    assert "other mode" in (await asked.poller.faults())[0]


async def test_a_key_that_may_not_read_endpoints_is_a_fault_and_stops_nothing_else(asked: Asked) -> None:
    asked.fake.forbidden = {"/v1/webhook_endpoints"}

    assert "may not read webhook endpoints" in (await asked.poller.faults())[0]


# Bad days ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "retry_after", "permanent"),
    [
        (answer(429, '{"error":{"type":"rate_limit"}}', retry_after="7"), 7, False),
        (answer(503, "<html>down</html>", retry_after="120", content_type="text/html"), 120, False),
        (answer(500, '{"error":{"type":"api_error","message":"someone@example.com"}}'), None, False),
        (answer(401, '{"error":{"message":"Invalid API Key"}}'), None, True),
        (answer(403, '{"error":{"message":"no right"}}'), None, True),
        (answer(400, '{"error":{"message":"someone@example.com"}}'), None, False),
        (answer(404, "<html>someone@example.com</html>"), None, False),
        (answer(302, "", location="https://elsewhere.example.com/"), None, False),
        (answer(200, "\ufeff{}"), None, False),
        (answer(200, b"\xff\xfe"), None, False),
        (html(), None, False),
        (cut, None, False),
        (silence, None, False),
    ],
)
async def test_an_answer_not_to_rely_on_is_a_failure_and_is_not_tried_again_by_the_package(
    asked: Asked,
    fault: Fault,
    retry_after: float | None,
    permanent: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(http_client, "CALL_SECONDS_MAX", 0.5)
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.WARNING, "stripe")  # as config.logs has it
    asked.fake.faults.then(fault)

    with pytest.raises(ApiFailed) as failed:
        await asked.poller.ask("refund:re_1", 0)

    assert (failed.value.retry_after_seconds, failed.value.permanent) == (retry_after, permanent)
    assert len(asked.fake.faults.requests) == 1
    assert KEY not in str(failed.value) + caplog.text
    assert "someone@example.com" not in str(failed.value) + caplog.text


async def test_a_storm_passes_and_nothing_is_missing(asked: Asked) -> None:
    charge = asked.fake.pay(100_000)
    refunds = [asked.fake.refund(charge, 1) for _ in range(150)]
    asked.fake.faults.then(answer(503), None, answer(429, retry_after="1"), cut, None, None)
    found: set[str | None] = set()

    failures = 0
    for _ in range(5):
        try:
            found |= {m.key for m in await asked.fetch("refunds")}
            break
        except ApiFailed:
            failures += 1

    assert (len(found), failures) == (len(refunds), 3)


async def test_the_pace_keeps_below_the_limit_of_the_other_side(asked: Asked) -> None:
    asked.fake.per_second = 25
    asked.poller = StripePoller(
        Stripe("stripe", asked.source.settings.model_copy(update={"requests_per_second": 20})), lambda: NOW
    )

    for _ in range(30):
        await asked.fetch("refunds")

    assert asked.fake.refused == 0


async def test_nothing_is_told_of_this_machine(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    import stripe

    asked.fake.pay(1)
    await asked.fetch("events")

    assert not stripe.enable_telemetry
