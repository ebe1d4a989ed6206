"""Square's API: refunds that changed, disputes, payments, the subscription, and bad days."""

from collections.abc import AsyncIterator

import pytest

from ledger.facts import Fact, PaymentFact, RefundFact
from ledger.instants import DAY, from_rfc3339
from sources.base import Event, Message
from sources.polling import ApiFailed
from sources.square import Square, SquareSettings
from sources.square_api import SquarePoller
from tests.fakes.faults import Fault, answer, cut, html
from tests.fakes.square import ADDRESS, SIGNATURE_KEY, TOKEN, FakeSquare, dispute, payment, refund
from tests.sources.questions import open_questions

NOW = from_rfc3339("2026-11-21T12:00:00Z")


class Asked:
    """A fake, and a source of ours that asks it."""

    def __init__(self, fake: FakeSquare, base: str, token: str = TOKEN) -> None:
        own = {"kind": "square", "webhook_secrets": [SIGNATURE_KEY], "notification_url": ADDRESS, "access_token": token}
        self.fake, self.base = fake, base
        self.source = Square(
            "square", SquareSettings.model_validate({**own, "api_base": base, "requests_per_second": 100})
        )
        self.poller = SquarePoller(self.source, lambda: NOW)

    async def fetch(self, name: str) -> list[Message]:
        [feed] = [feed for feed in self.poller.feeds() if feed.name == name]
        return [message async for fetched in feed.fetch(NOW - DAY, NOW) for message in fetched.messages]

    def facts(self, messages: list[Message]) -> list[Fact]:
        return [fact for m in messages for fact in self.source.interpret(Event(0, "square", "k", m.type, m.body, NOW))]


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    fake = FakeSquare()
    with fake.serving() as base:
        made = Asked(fake, base)
        yield made
        await made.poller.close()


async def test_refunds_are_listed_by_when_they_changed_page_by_page(asked: Asked) -> None:
    asked.fake.refunds += [refund(f"r{n}", "p1", 100 + n) for n in range(5)]

    messages = await asked.fetch("refunds")

    assert [f.id for f in asked.facts(messages) if isinstance(f, RefundFact)] == ["r0", "r1", "r2", "r3", "r4"]
    assert len({m.key for m in messages}) == 5
    assert asked.fake.queries[0] == {
        "updated_at_begin_time": "2026-11-20T12:00:00Z",
        "updated_at_end_time": "2026-11-21T12:00:00Z",
        "sort_field": "UPDATED_AT",
        "limit": "100",
    }


async def test_the_same_state_has_the_same_key_and_another_state_another(asked: Asked) -> None:
    asked.fake.refunds.append(refund("r1", "p1", 100, "PENDING"))
    first, again = await asked.fetch("refunds"), await asked.fetch("refunds")
    asked.fake.refunds[0]["status"] = "FAILED"

    assert first == again
    assert (await asked.fetch("refunds"))[0].key != first[0].key


async def test_decided_disputes_are_asked_for_by_their_states(asked: Asked) -> None:
    asked.fake.disputes.append(dispute("d1", "p1", 2550, "WON"))

    assert len(asked.facts(await asked.fetch("disputes"))) == 2
    assert asked.fake.queries[0] == {"states": "EVIDENCE_REQUIRED,PROCESSING,WON,LOST,ACCEPTED"}


async def test_the_payment_of_a_refund_tells_the_order_and_is_asked_once(asked: Asked) -> None:
    asked.fake.payments["p1"] = payment("p1", 2550, reference_id="1001")
    asked.fake.refunds.append(refund("r1", "p1", 100))
    [message] = await asked.fetch("refunds")

    [about] = open_questions(asked.source, Event(1, "square", "k", message.type, message.body, NOW))
    found = await asked.poller.ask(about, 0)

    [fact] = asked.facts(found.fetched.messages)
    assert isinstance(fact, PaymentFact)
    assert (fact.captured, fact.order_refs, found.again_after) == (2550, ("1001",), None)


async def test_what_is_not_there_is_asked_for_a_day(asked: Asked) -> None:
    answers = [await asked.poller.ask("payment:none", age) for age in (0, DAY)]

    assert [a.fetched.messages for a in answers] == [[], []]
    assert [a.again_after is None for a in answers] == [False, True]


async def test_nothing_is_asked_that_is_no_id(asked: Asked) -> None:
    assert (await asked.poller.ask("payment:../refunds?x", 0)).fetched.messages == []
    assert asked.fake.faults.requests == []


async def test_refunds_and_chargebacks_are_listed_as_the_ledger_has_them(asked: Asked) -> None:
    asked.fake.refunds.append(refund("r1", "p1", 100))
    asked.fake.disputes += [dispute("d1", "p1", 2550, "LOST"), dispute("d2", "p2", 7, "INQUIRY_CLOSED")]

    listed = [one async for page in asked.poller.listed(NOW - DAY, NOW) for one in page]

    assert [(one.id, one.kind, one.status, one.amount) for one in listed] == [
        ("r1", "refund", "succeeded", 100),
        ("d1", "chargeback", "succeeded", 2550),
    ]


async def test_faults_of_the_subscription_are_told(asked: Asked) -> None:
    assert await asked.poller.faults() == ["no webhook subscription has the notification_url: mend one of the two"]
    kinds = [name for name in asked.source.used_events if name != "dispute.state.changed"]
    mine = {"id": "w1", "enabled": False, "notification_url": ADDRESS, "event_types": kinds[1:]}
    asked.fake.subscriptions.append(mine)
    off, lacks = await asked.poller.faults()
    assert "not enabled" in off
    assert lacks.endswith("lacks refund.created")
    mine |= {"enabled": True, "event_types": kinds}
    assert await asked.poller.faults() == []


async def test_a_token_that_is_refused_is_a_fault_that_lasts(asked: Asked) -> None:
    wrong = Asked(asked.fake, asked.base, "wrong")

    [fault] = await wrong.poller.faults()
    assert "access token" in fault
    with pytest.raises(ApiFailed) as failure:
        await wrong.fetch("refunds")
    assert failure.value.permanent
    await wrong.poller.close()


BAD = [answer(500), html(), cut, answer(200, b"[]"), answer(200, b'{"refunds":{"a":1}}'), answer(400), answer(404)]


@pytest.mark.parametrize("fault", BAD, ids=range(len(BAD)))
async def test_a_bad_answer_is_a_failure_and_nothing_is_stored(asked: Asked, fault: Fault) -> None:
    asked.fake.refunds.append(refund("r1", "p1", 100))
    asked.fake.faults.then(fault)

    with pytest.raises(ApiFailed):
        await asked.fetch("refunds")


async def test_a_listed_refund_that_cannot_be_read_is_set_aside_alone(asked: Asked) -> None:
    asked.fake.refunds += [{"status": "COMPLETED"}, refund("r1", "p1", 100)]

    assert [m.verdict for m in await asked.fetch("refunds")] == ["malformed", "used"]
