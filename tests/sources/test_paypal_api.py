"""PayPal's API: events, the search, single things, our webhooks, and bad days."""

from collections.abc import AsyncIterator

import pytest

from ledger.facts import Fact, PaymentFact, RefundFact
from ledger.instants import DAY, SECOND, from_rfc3339
from sources.base import Event, Message
from sources.paypal import PayPal, PayPalSettings
from sources.paypal_api import PayPalPoller
from sources.polling import HOUR, ApiFailed
from tests.fakes.faults import Fault, answer, cut, html
from tests.fakes.paypal import CLIENT_ID, CLIENT_SECRET, WEBHOOK_ID, FakePayPal, capture, event, refund

NOW = from_rfc3339("2026-11-21T12:00:00Z")
REFUND, CAPTURE = "1JU08902781691411", "0JF852973C016714D"


class Asked:
    """A fake, and a source of ours that asks it."""

    def __init__(self, fake: FakePayPal, base: str, **settings: object) -> None:
        own = {"kind": "paypal", "webhook_ids": [WEBHOOK_ID], "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        told = {**own, "api_base": base, "requests_per_second": 100, **settings}
        self.fake, self.base = fake, base
        self.source = PayPal("paypal", PayPalSettings.model_validate(told))
        self.poller = PayPalPoller(self.source, lambda: fake.now)

    async def fetch(self, name: str) -> list[Message]:
        [feed] = [feed for feed in self.poller.feeds() if feed.name == name]
        return [message async for fetched in feed.fetch(NOW - DAY, NOW) for message in fetched.messages]

    def facts(self, messages: list[Message]) -> list[Fact]:
        return [fact for m in messages for fact in self.source.interpret(Event(0, "paypal", "k", m.type, m.body, NOW))]


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    fake = FakePayPal(NOW)
    with fake.serving() as base:
        made = Asked(fake, base)
        yield made
        await made.poller.close()


async def test_events_are_fetched_page_by_page_as_the_webhook_would_have_brought_them(asked: Asked) -> None:
    bodies = [event(str(n), "PAYMENT.CAPTURE.REFUNDED", refund(f"{REFUND}{n}", CAPTURE, "1.00")) for n in range(5)]
    asked.fake.events += [*bodies, event("6", "CHECKOUT.ORDER.APPROVED", {})]

    messages = await asked.fetch("events")

    assert [(m.key, m.body) for m in messages] == [(f"WH-{n}", body) for n, body in enumerate(bodies)]
    asked_for = {"page_size": "100", "start_time": "2026-11-20T12:00:00Z", "end_time": "2026-11-21T12:00:00Z"}
    assert asked.fake.queries[0] == asked_for
    assert asked.fake.tokens == 1


async def test_refunds_are_searched_for_and_kept_without_the_people_in_them(asked: Asked) -> None:
    for n in range(3):
        asked.fake.line(f"{REFUND}{n}", "1.00", NOW - HOUR)
    asked.fake.line("fee", "1.00", NOW, transaction_event_code="T0106")

    messages = await asked.fetch("refunds")

    told = [(f.id, f.amount, f.payment_ids) for f in asked.facts(messages) if isinstance(f, RefundFact)]
    assert told == [(f"{REFUND}{n}", 100, (CAPTURE,)) for n in range(3)]
    assert b"example.com" not in b"".join(m.body for m in messages)
    assert asked.fake.queries[0]["transaction_type"] == "T1107"


async def test_where_the_app_may_not_search_only_events_are_fetched(asked: Asked) -> None:
    alone = Asked(asked.fake, asked.base, transaction_search=False)

    assert [feed.name for feed in alone.poller.feeds()] == ["events"]
    with pytest.raises(ApiFailed, match="transaction_search"):
        [page async for page in alone.poller.listed(NOW - DAY, NOW)]
    await alone.poller.close()


async def test_a_refund_under_way_is_asked_about_again(asked: Asked) -> None:
    asked.fake.things[f"refunds/{REFUND}"] = refund(REFUND, CAPTURE, "1.00", status="PENDING")
    pending = await asked.poller.ask(f"refund:{REFUND}", 0)
    asked.fake.things[f"refunds/{REFUND}"]["status"] = "FAILED"
    failed = await asked.poller.ask(f"refund:{REFUND}", 0)

    assert (pending.again_after, failed.again_after) == (HOUR, None)
    told = [f.status for a in (pending, failed) for f in asked.facts(a.fetched.messages) if isinstance(f, RefundFact)]
    assert told == ["pending", "failed"]


async def test_the_capture_tells_the_order(asked: Asked) -> None:
    asked.fake.things[f"captures/{CAPTURE}"] = capture(CAPTURE, "25.50", invoice_id="1001")

    [fact] = asked.facts((await asked.poller.ask(f"capture:{CAPTURE}", 0)).fetched.messages)

    assert isinstance(fact, PaymentFact)
    assert (fact.captured, fact.order_refs) == (2550, ("1001",))


async def test_what_is_not_there_is_asked_for_a_day_and_what_is_no_id_never(asked: Asked) -> None:
    answers = [await asked.poller.ask(f"refund:{REFUND}", age) for age in (0, DAY)]
    assert [(a.fetched.messages, a.again_after) for a in answers] == [([], HOUR), ([], None)]

    asked.fake.faults.requests.clear()
    assert (await asked.poller.ask("refund:../x", 0)).fetched.messages == []
    assert asked.fake.faults.requests == []


async def test_refunds_are_listed_for_comparison_in_windows(asked: Asked) -> None:
    asked.fake.line(REFUND, "1.00", NOW - HOUR)

    listed = [one async for page in asked.poller.listed(NOW - 31 * DAY, NOW) for one in page]

    assert {(one.id, one.kind, one.status, one.amount, one.currency, one.at) for one in listed} == {
        (REFUND, "refund", "succeeded", 100, "GBP", NOW - HOUR)
    }
    assert [q["end_date"] for q in asked.fake.queries] == ["2026-11-20T12:00:00Z", "2026-11-21T12:00:00Z"]


async def test_a_listed_refund_that_cannot_be_read_ends_the_comparison(asked: Asked) -> None:
    asked.fake.line("1JU08902781691411", "5.00", NOW - HOUR, transaction_status="?")

    with pytest.raises(ApiFailed, match="status of the transaction is not known"):
        [page async for page in asked.poller.listed(NOW - DAY, NOW)]


async def test_faults_of_the_webhook_are_told(asked: Asked) -> None:
    assert await asked.poller.faults() == ["the app has no webhook with one of the webhook_ids: mend them"]
    types = [{"name": name} for name in asked.source.used_events]
    mine = {"id": WEBHOOK_ID, "url": "https://refunds.example.com/other", "event_types": types[1:]}
    asked.fake.webhooks.append(mine)
    address, lacks = await asked.poller.faults()
    assert address.endswith("/webhooks/paypal")
    assert lacks.endswith("to PAYMENT.CAPTURE.REFUNDED")
    mine |= {"url": "https://refunds.example.com/webhooks/paypal", "event_types": [{"name": "*"}]}
    assert await asked.poller.faults() == []


async def test_a_token_is_used_until_it_ends_or_is_refused(asked: Asked) -> None:
    await asked.fetch("events")
    asked.fake.now += 32400 * SECOND
    await asked.fetch("events")
    assert asked.fake.tokens == 2
    asked.fake.tokens = 7  # it was taken back
    with pytest.raises(ApiFailed):
        await asked.fetch("events")
    await asked.fetch("events")
    assert asked.fake.tokens == 8


async def test_credentials_that_are_refused_are_a_fault_that_lasts_and_are_not_told(asked: Asked) -> None:
    wrong = Asked(asked.fake, asked.base, client_secret="not-the-secret")

    with pytest.raises(ApiFailed) as failure:
        await wrong.fetch("events")
    assert failure.value.permanent
    assert "not-the-secret" not in str(failure.value)
    await wrong.poller.close()


LOOP = b'{"events":[{"id":"1"}],"links":[{"rel":"next","href":"nowhere"}]}'
BAD = [answer(500), html(), cut, answer(200, b"[]"), answer(200, b'{"events":{}}'), answer(400), answer(200, LOOP)]


@pytest.mark.parametrize("fault", BAD, ids=range(len(BAD)))
async def test_a_bad_answer_is_a_failure(asked: Asked, fault: Fault) -> None:
    asked.fake.faults.then(None, fault)

    with pytest.raises(ApiFailed):
        await asked.fetch("events")


TOKENS = [b"{}", b'{"access_token":1}', b'{"access_token":"a b"}', b'{"access_token":"\\u00e9"}', b"<html>"]


@pytest.mark.parametrize("body", TOKENS, ids=range(len(TOKENS)))
async def test_without_a_token_nothing_is_asked(asked: Asked, body: bytes) -> None:
    asked.fake.faults.then(answer(200, body))

    with pytest.raises(ApiFailed):
        await asked.fetch("events")
    assert asked.fake.faults.requests == ["POST /v1/oauth2/token"]
