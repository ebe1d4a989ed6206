"""Mollie's API: lists newest first, single things, and bad days."""

import json
from collections.abc import AsyncIterator

import pytest

from ledger.facts import Fact, PaymentFact, RefundFact
from ledger.instants import DAY, from_rfc3339
from sources.base import Event, Message, NotUnderstood
from sources.mollie import Mollie, MollieSettings
from sources.mollie_api import FAILS_WITHIN, PENDING_FOR, MolliePoller
from sources.polling import HOUR, ApiFailed
from tests.fakes.faults import Fault, answer, cut, html
from tests.fakes.mollie import KEY, FakeMollie, chargeback, payment, refund

NOW = from_rfc3339("2026-11-21T12:00:00Z")


class Asked:
    """A fake, and a source of ours that asks it."""

    def __init__(self, fake: FakeMollie, base: str, key: str = KEY) -> None:
        own = {"kind": "mollie", "api_key": key, "api_base": base, "requests_per_second": 100}
        self.fake, self.base = fake, base
        self.source = Mollie("mollie", MollieSettings.model_validate(own))
        self.poller = MolliePoller(self.source, lambda: NOW)

    async def fetch(self, name: str, days: int = 2) -> list[Message]:
        [feed] = [feed for feed in self.poller.feeds() if feed.name == name]
        return [message async for fetched in feed.fetch(NOW - days * DAY, NOW) for message in fetched.messages]

    def facts(self, messages: list[Message]) -> list[Fact]:
        events = [Event(0, "mollie", "k", m.type, m.body, NOW) for m in messages]
        return [fact for event in events for fact in self.source.interpret(event)]


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    fake = FakeMollie()
    with fake.serving() as base:
        made = Asked(fake, base)
        yield made
        await made.poller.close()


async def test_refunds_are_listed_newest_first_back_to_where_it_was_known(asked: Asked) -> None:
    asked.fake.refunds += [refund(f"re_old{n}", "tr_1", "1.00", createdAt="2026-10-01T12:00:00Z") for n in range(9)]
    asked.fake.refunds += [refund(f"re_{n}", "tr_1", "1.00") for n in range(5)]

    found = [f.id for f in asked.facts(await asked.fetch("refunds")) if isinstance(f, RefundFact)]

    assert found == ["re_4", "re_3", "re_2", "re_1", "re_0", "re_old8"]  # the page that reaches back is the last
    assert len(asked.fake.faults.requests) == 3
    assert len(await asked.fetch("refunds", 100)) == 14


async def test_the_same_state_has_the_same_key_and_another_state_another(asked: Asked) -> None:
    asked.fake.refunds.append(refund("re_1", "tr_1", "1.00", "processing"))
    first, again = await asked.fetch("refunds"), await asked.fetch("refunds")
    asked.fake.refunds[0]["status"] = "failed"

    assert first == again
    assert (await asked.fetch("refunds"))[0].key != first[0].key


async def test_chargebacks_are_listed(asked: Asked) -> None:
    asked.fake.chargebacks.append(chargeback("chb_1", "tr_1", "1.00", reversedAt="2026-11-21T10:00:00Z"))

    assert len(asked.facts(await asked.fetch("chargebacks"))) == 2


async def test_a_payment_comes_with_its_refunds_and_chargebacks_and_nothing_about_the_customer(asked: Asked) -> None:
    asked.fake.has(payment("tr_1", "25.50", metadata={"order_id": "1001"}))
    asked.fake.refunds += [refund("re_1", "tr_1", "1.00"), refund("re_2", "tr_2", "1.00")]
    asked.fake.chargebacks.append(chargeback("chb_1", "tr_1", "1.00"))

    found = await asked.poller.ask("payment:tr_1", 0)

    assert [m.type for m in found.fetched.messages] == ["api.payment", "api.refund", "api.chargeback"]
    assert found.again_after is None
    fact = asked.facts(found.fetched.messages)[0]
    assert isinstance(fact, PaymentFact)
    assert (fact.captured, fact.order_refs) == (2550, ("1001",))
    assert not any(word in m.body for m in found.fetched.messages for word in (b"Ellen", b"@", b"NL55"))


@pytest.mark.parametrize(
    ("status", "again", "end"),
    [("processing", HOUR, PENDING_FOR), ("refunded", DAY, FAILS_WITHIN), ("failed", None, 0), ("canceled", None, 0)],
)
async def test_a_refund_is_asked_about_until_it_cannot_change(
    asked: Asked, status: str, again: int | None, end: int
) -> None:
    asked.fake.refunds += [refund("re_0", "tr_1", "1.00"), refund("re_1", "tr_1", "1.00", status)]

    found = await asked.poller.ask("refund:re_1", 0)

    assert [f.id for f in asked.facts(found.fetched.messages) if isinstance(f, RefundFact)] == ["re_1"]
    assert found.again_after == again
    assert (await asked.poller.ask("refund:re_1", end)).again_after is None


async def test_a_refund_that_is_not_understood_is_set_aside_and_stops_nothing(asked: Asked) -> None:
    asked.fake.refunds.append(refund("re_1", "tr_1", "1.00", "unheard_of"))

    found = await asked.poller.ask("refund:re_1", 0)

    assert (len(found.fetched.messages), found.again_after) == (1, None)
    with pytest.raises(NotUnderstood):
        asked.facts(found.fetched.messages)


@pytest.mark.parametrize("about", ["payment:tr_none", "refund:re_none", "chargeback:chb_none"])
async def test_what_is_not_there_is_asked_once(asked: Asked, about: str) -> None:
    found = await asked.poller.ask(about, 0)

    assert (found.fetched.messages, found.again_after) == ([], None)
    assert len(asked.fake.faults.requests) == 1


async def test_nothing_is_asked_that_is_no_id(asked: Asked) -> None:
    assert (await asked.poller.ask("payment:tr_1/../../x", 0)).fetched.messages == []
    assert asked.fake.faults.requests == []


async def test_refunds_and_chargebacks_are_listed_as_the_ledger_has_them(asked: Asked) -> None:
    asked.fake.refunds += [refund("re_0", "tr_1", "1.00", createdAt="2026-10-01T12:00:00Z")]
    asked.fake.refunds += [refund("re_1", "tr_1", "1.00")]
    asked.fake.chargebacks.append(chargeback("chb_1", "tr_1", "7.00"))

    listed = [one async for page in asked.poller.listed(NOW - 2 * DAY, NOW) for one in page]

    assert [(one.id, one.kind, one.status, one.amount) for one in listed] == [
        ("re_1", "refund", "succeeded", 100),
        ("chb_1", "chargeback", "succeeded", 700),
    ]


async def test_a_wrong_key_is_a_fault_that_lasts(asked: Asked) -> None:
    assert await asked.poller.faults() == []
    wrong = Asked(asked.fake, asked.base, "live_wrong")

    for call in (wrong.fetch("refunds"), wrong.poller.faults()):
        with pytest.raises(ApiFailed) as failure:
            await call
        assert failure.value.permanent
    await wrong.poller.close()


async def test_the_pause_that_is_asked_for_is_told(asked: Asked) -> None:
    asked.fake.faults.then(answer(429, retry_after="7"))

    with pytest.raises(ApiFailed) as failure:
        await asked.fetch("refunds")
    assert failure.value.retry_after_seconds == 7


BAD = [
    answer(500),
    answer(404),
    answer(422),
    html(),
    cut,
    answer(200, b"[]"),
    answer(200, b'{"_embedded":{"refunds":{}}}'),
    answer(200, b'{"_embedded":{"refunds":[]},"_links":{"next":{"href":"https://x/?from=../x"}}}'),
    answer(200, b'{"_embedded":{"refunds":[]},"_links":{"next":7}}'),
]


@pytest.mark.parametrize("fault", BAD, ids=range(len(BAD)))
async def test_a_bad_answer_is_a_failure(asked: Asked, fault: Fault) -> None:
    asked.fake.refunds.append(refund("re_1", "tr_1", "1.00"))
    asked.fake.faults.then(fault)

    with pytest.raises(ApiFailed):
        await asked.fetch("refunds")


async def test_a_list_whose_next_page_is_the_same_is_a_failure(asked: Asked) -> None:
    made = b'{"_embedded":{"refunds":[{"id":"re_1","createdAt":"2026-11-21T10:00:00Z"}]},'
    asked.fake.faults.then(*[answer(200, made + b'"_links":{"next":{"href":"https://x/?from=re_1"}}}')] * 2)

    with pytest.raises(ApiFailed, match="the same"):
        await asked.fetch("refunds")


@pytest.mark.parametrize("row", [7, {"id": "re_x"}, {"id": "re_x", "createdAt": "soon"}])
async def test_an_entity_that_cannot_be_read_is_set_aside_and_the_walk_goes_on(asked: Asked, row: object) -> None:
    asked.fake.refunds += [refund(f"re_{n}", "tr_1", "1.00") for n in range(3)]
    page = {"_embedded": {"refunds": [refund("re_3", "tr_1", "1.00"), row]}}
    following = {"_links": {"next": {"href": "https://x/?from=re_2"}}}
    asked.fake.faults.then(answer(200, json.dumps(page | following)))

    first, strange, *others = await asked.fetch("refunds")

    assert [json.loads(m.body)["id"] for m in (first, *others)] == ["re_3", "re_2", "re_1", "re_0"]
    with pytest.raises(NotUnderstood):
        asked.facts([strange])
