"""Stripe's lists of events and refunds, walked window by window."""

import json

import pytest

from ledger.facts import PaymentFact, RefundFact
from ledger.instants import DAY, SECOND
from sources.base import Delivery
from sources.polling import ApiFailed
from sources.stripe import SNAPSHOTS, Stripe
from sources.stripe_api import StripePoller
from tests.fakes.faults import answer
from tests.fakes.stripe import body_of
from tests.sources.stripe_asked import ACCOUNT, HOUR, NOW, Asked


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
