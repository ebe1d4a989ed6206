"""Braintree's API: searches in two steps, disputes page by page, single transactions, and bad days."""

from collections.abc import AsyncIterator

import pytest

from ledger.facts import Fact, PaymentFact, RefundFact
from ledger.instants import DAY, SECOND, from_rfc3339
from sources.base import Event, Message
from sources.braintree import Braintree, BraintreeSettings
from sources.braintree_api import ASK_FOR, BraintreePoller
from sources.polling import HOUR, ApiFailed
from tests.fakes.braintree import MERCHANT, PRIVATE, PUBLIC, FakeBraintree, dispute, refund, transaction
from tests.fakes.faults import Fault, answer, cut, html

NOW = from_rfc3339("2026-11-21T12:00:00Z")


class Asked:
    """A fake, and a source of ours that asks it."""

    def __init__(self, fake: FakeBraintree, base: str, private_key: str = PRIVATE) -> None:
        own = {"kind": "braintree", "public_key": PUBLIC, "private_key": private_key, "merchant_id": MERCHANT}
        settings = BraintreeSettings.model_validate({**own, "api_base": base, "requests_per_second": 100})
        self.fake, self.base = fake, base
        self.source = Braintree("braintree", settings)
        self.poller = BraintreePoller(self.source, lambda: NOW)

    async def fetch(self, name: str, days: int = 2) -> list[Message]:
        [feed] = [feed for feed in self.poller.feeds() if feed.name == name]
        return [message async for fetched in feed.fetch(NOW - days * DAY, NOW) for message in fetched.messages]

    def facts(self, messages: list[Message]) -> list[Fact]:
        events = [Event(0, "braintree", "k", m.type, m.body, NOW) for m in messages]
        return [fact for event in events for fact in self.source.interpret(event)]


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    fake = FakeBraintree()
    with fake.serving() as base:
        made = Asked(fake, base)
        yield made
        await made.poller.close()


def test_it_is_asked_where_the_merchant_is_known() -> None:
    own: dict[str, object] = {"kind": "braintree", "public_key": PUBLIC, "private_key": PRIVATE}
    merchant = own | {"merchant_id": MERCHANT}
    settings = [own, merchant, merchant | {"poll_interval": "off"}]

    assert [Braintree("b", BraintreeSettings.model_validate(s)).askable for s in settings] == [False, True, False]


async def test_refunds_are_found_by_their_ids_and_then_fetched_page_by_page(asked: Asked) -> None:
    asked.fake.has(*(refund(f"r{n}", "p1", f"{n}.00") for n in range(1, 6)), transaction("p1", "sale", "99", "settled"))
    asked.fake.has(refund("r0", "p1", "1.00", created_at="2026-11-18T00:00:00Z"))

    messages = await asked.fetch("refunds")

    assert [f.id for f in asked.facts(messages) if isinstance(f, RefundFact)] == ["r1", "r2", "r3", "r4", "r5"]
    assert len({m.key for m in messages}) == 5
    assert len(asked.fake.faults.requests) == 1 + 3


async def test_nothing_about_the_customer_is_kept(asked: Asked) -> None:
    asked.fake.has(refund("r1", "p1", "1.00"))
    asked.fake.disputes.append(dispute("d1", "p1", "1.00", transaction={"id": "p1", "order_id": "ellen@example.com"}))

    messages = [*await asked.fetch("refunds"), *await asked.fetch("disputes")]

    assert len(messages) == 2
    assert not any(word in message.body for message in messages for word in (b"Ellen", b"@", b"1111"))


async def test_the_same_state_has_the_same_key_and_another_state_another(asked: Asked) -> None:
    asked.fake.has(refund("r1", "p1", "1.00", "settling"))
    first, again = await asked.fetch("refunds"), await asked.fetch("refunds")
    asked.fake.has(refund("r1", "p1", "1.00", "settled"))

    assert first == again
    assert (await asked.fetch("refunds"))[0].key != first[0].key


async def test_voids_are_found_by_when_they_were_made(asked: Asked) -> None:
    old = {"created_at": "2026-10-01T12:00:00Z"}
    asked.fake.has(
        transaction("p1", "sale", "25.50", "voided", "submitted_for_settlement", **old),
        transaction("p2", "sale", "25.50", "settled", **old),
    )

    assert {f.id for f in asked.facts(await asked.fetch("voids")) if isinstance(f, RefundFact)} == {"p1"}


async def test_disputes_are_listed_page_by_page(asked: Asked) -> None:
    asked.fake.disputes += [dispute(f"d{n}", "p1", "1.00", "won", amount_won="1.00") for n in range(5)]
    asked.fake.disputes.append(dispute("d9", "p1", "1.00", received_date="2026-01-01"))

    assert len(await asked.fetch("disputes")) == 5


@pytest.mark.parametrize(
    ("state", "again"),
    [
        (refund("x1", "p1", "1.00", "settling"), HOUR),
        (refund("x1", "p1", "1.00", "settled"), None),
        (refund("x1", "p1", "1.00", "settled", payment_instrument_type="us_bank_account"), DAY),
        (refund("x1", "p1", "1.00", "processor_declined", payment_instrument_type="us_bank_account"), None),
        (transaction("x1", "sale", "1.00", "settling"), None),
    ],
)
async def test_a_refund_is_asked_about_until_it_cannot_change(
    asked: Asked, state: dict[str, object], again: int | None
) -> None:
    asked.fake.has(state)

    found = await asked.poller.ask("refund:x1", 5 * SECOND)

    assert (len(found.fetched.messages), found.again_after) == (1, again)
    assert (await asked.poller.ask("refund:x1", ASK_FOR)).again_after is None


async def test_the_payment_of_a_refund_tells_the_order_and_what_was_captured(asked: Asked) -> None:
    asked.fake.has(transaction("p1", "sale", "25.50", "settled", order_id="1001"))

    [fact] = asked.facts((await asked.poller.ask("payment:p1", 0)).fetched.messages)

    assert isinstance(fact, PaymentFact)
    assert (fact.captured, fact.order_refs) == (2550, ("1001",))


async def test_what_is_not_there_is_asked_for_a_day_and_what_is_no_id_never(asked: Asked) -> None:
    answers = [await asked.poller.ask("payment:none", age) for age in (0, DAY)]
    assert [a.again_after is None for a in answers] == [False, True]
    asked.fake.faults.requests.clear()

    assert (await asked.poller.ask("payment:../disputes", 0)).fetched.messages == []
    assert asked.fake.faults.requests == []


async def test_refunds_voids_and_chargebacks_are_listed_as_the_ledger_has_them(asked: Asked) -> None:
    asked.fake.has(
        refund("r1", "p1", "1.00"),
        transaction("p2", "sale", "25.50", "voided", "submitted_for_settlement"),
        transaction("p3", "sale", "25.50", "voided", "authorized"),
    )
    asked.fake.disputes.append(dispute("d1", "p4", "7.00", "lost"))

    listed = [one async for page in asked.poller.listed(NOW - 20 * DAY, NOW) for one in page]

    assert [(one.id, one.kind, one.status, one.amount) for one in listed] == [
        ("r1", "refund", "succeeded", 100),
        ("p2", "void", "succeeded", 2550),
        ("d1", "chargeback", "succeeded", 700),
    ]


async def test_a_chargeback_that_was_received_before_it_took_the_money_is_listed(asked: Asked) -> None:
    asked.fake.disputes.append(dispute("d1", "p4", "7.00", received_date="2026-11-01"))

    listed = [one async for page in asked.poller.listed(NOW - 2 * DAY, NOW) for one in page]

    assert [one.id for one in listed] == ["d1"]


async def test_wrong_keys_are_a_fault_that_lasts(asked: Asked) -> None:
    assert await asked.poller.faults() == []
    wrong = Asked(asked.fake, asked.base, "wrong")

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


FOUND = '<search-results><page-size type="integer">{}</page-size><ids type="array">{}</ids></search-results>'
BAD = [
    answer(500),
    answer(426),
    answer(404),
    html(),
    cut,
    answer(200),
    answer(200, "<search-results/>"),
    answer(200, '<!DOCTYPE a [<!ENTITY b "1">]><search-results><page-size>&b;</page-size></search-results>'),
    answer(200, FOUND.format("0", "<item>r1</item>")),
    answer(200, FOUND.format("-1", "<item>r1</item>")),
    answer(200, FOUND.format("9", "<item>&lt;item&gt;</item>")),
    answer(200, FOUND.format("9", "<item/>" * 3)),
    answer(200, FOUND.format("9", "<item>r1</item>" * 20_000)),
]


@pytest.mark.parametrize("fault", BAD, ids=range(len(BAD)))
async def test_a_bad_answer_is_a_failure_and_nothing_is_stored(asked: Asked, fault: Fault) -> None:
    asked.fake.has(refund("r1", "p1", "1.00"))
    asked.fake.faults.then(fault)

    with pytest.raises(ApiFailed):
        await asked.fetch("refunds")


async def test_a_page_that_lacks_what_was_found_is_a_failure(asked: Asked) -> None:
    asked.fake.has(refund("r1", "p1", "1.00"))
    asked.fake.faults.then(
        None, answer(200, "<credit-card-transactions><page-size>2</page-size></credit-card-transactions>")
    )

    with pytest.raises(ApiFailed, match="not every"):
        await asked.fetch("refunds")


async def test_a_transaction_without_an_id_is_set_aside_alone(asked: Asked) -> None:
    asked.fake.disputes += [dispute("", "p1", "1.00"), dispute("d1", "p1", "1.00")]

    assert [m.verdict for m in await asked.fetch("disputes")] == ["malformed", "used"]
