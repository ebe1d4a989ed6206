"""Infigo's API asked over HTTP: single orders, and every odd way in which one may not be there."""

import json
import logging
from collections.abc import AsyncIterator
from typing import Any, get_args

import pytest

from config.problems import ConfigError
from ledger.facts import OrderFact
from ledger.instants import DAY, SECOND, Instant, from_rfc3339
from sources import http_client, registry
from sources.base import Event
from sources.infigo import Infigo, InfigoSettings
from sources.infigo_api import InfigoPoller
from sources.polling import Answer, ApiFailed
from tests.fakes.faults import Fault, answer, cut, html, silence
from tests.fakes.infigo import PATH, TOKEN, FakeInfigo, Missing
from tests.sources.questions import open_questions

NOW = from_rfc3339("2026-11-20T12:00:00Z")
HOUR = 3600 * SECOND


class Asked:
    """A fake, and a source of ours that asks it."""

    def __init__(self, fake: FakeInfigo, base: str, **settings: object) -> None:
        self.fake = fake
        own = {"kind": "infigo", "webhook_token": "t", "api_token": TOKEN, "api_base": base}
        self.source = Infigo("shop", InfigoSettings.model_validate({**own, "requests_per_second": 100, **settings}))
        self.poller = InfigoPoller(self.source, lambda: self.fake.now)

    def with_settings(self, **changes: object) -> InfigoPoller:
        settings = self.source.settings.model_copy(update=changes)
        return InfigoPoller(Infigo("shop", settings), lambda: self.fake.now)

    async def key(self, about: str) -> str:
        [message] = (await self.poller.ask(about, 0)).fetched.messages
        assert message.key
        return message.key

    def read(self, answer: Answer) -> OrderFact:
        [message] = answer.fetched.messages
        [fact] = self.source.interpret(event(message.type, message.body, answer.fetched.as_of))
        assert isinstance(fact, OrderFact)
        return fact


def event(event_type: str, body: bytes, received_at: Instant = NOW) -> Event:
    return Event(1, "shop", "k", event_type, body, received_at)


def questions(event_type: str, told: dict[str, Any]) -> list[str]:
    source = Infigo("shop", InfigoSettings.model_validate({"kind": "infigo", "webhook_token": "t", "currency": "GBP"}))
    return open_questions(source, event(event_type, json.dumps(told).encode()))


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    fake = FakeInfigo(NOW)
    fake.place("1001", "120.10", "pi_1", jobs=("s1234",))
    with fake.serving() as base:
        asked = Asked(fake, base)
        yield asked
        await asked.poller.close()


async def test_an_order_is_read_as_it_is_now(asked: Asked) -> None:
    asked.fake.refund("1001", "15.20")
    asked.fake.now += HOUR

    found = await asked.poller.ask("order:1001", 0)

    order = asked.read(found)
    assert (order.store, order.order_id, order.origin) == ("shop", "1001", "read")
    assert order.as_of == order.arrived_at == NOW + HOUR
    assert (order.currency, order.total, order.refunded) == ("GBP", 12010, 1520)
    assert (order.payment_status, order.cancelled, order.transactions) == ("partially_refunded", False, ("pi_1",))
    assert asked.fake.faults.requests == [f"GET {PATH}/order/detail/1001"]


@pytest.mark.parametrize(("age", "again"), [(0, HOUR), (3 * DAY, 6 * HOUR), (20 * DAY, DAY), (90 * DAY, None)])
async def test_an_order_is_read_again_and_ever_more_rarely(asked: Asked, age: Instant, again: Instant | None) -> None:
    assert (await asked.poller.ask("order:1001", age)).again_after == again
    assert (await asked.poller.ask("order:4711", age)).again_after == again


async def test_an_order_that_goes_back_to_what_it_was_is_news_again(asked: Asked) -> None:
    before = await asked.key("order:1001")
    asked.fake.now += HOUR
    asked.fake.refund("1001", "15")
    between = await asked.key("order:1001")
    asked.fake.now += HOUR
    asked.fake.take_back("1001")
    after = await asked.key("order:1001")

    assert len({before, between, after}) == 3


async def test_a_job_leads_to_its_order_and_is_not_asked_about_again(asked: Asked) -> None:
    found = await asked.poller.ask("job:s1234", 0)

    assert asked.read(found).order_id == "1001"
    assert found.again_after is None
    assert asked.fake.faults.requests == [f"GET {PATH}/orderlineitem/get", f"GET {PATH}/order/detail/1001"]


async def test_a_job_that_is_not_there_is_asked_about_for_a_day(asked: Asked) -> None:
    answers = [await asked.poller.ask("job:s9999", age) for age in (0, DAY)]

    assert [(a.fetched.messages, a.again_after) for a in answers] == [([], HOUR), ([], None)]


@pytest.mark.parametrize("missing", get_args(Missing))
async def test_an_order_that_is_not_there_is_told_in_many_ways(
    asked: Asked, missing: Missing, caplog: pytest.LogCaptureFixture
) -> None:
    asked.fake.missing = missing

    assert (await asked.poller.ask("order:4711", 0)).fetched.messages == []
    assert ("refuses to tell" in caplog.text) is (missing == "refusal")
    assert "someone@example.com" not in caplog.text


@pytest.mark.parametrize("status", [400, 410])
async def test_an_id_that_infigo_does_not_take_is_not_there(asked: Asked, status: int) -> None:
    asked.fake.faults.then(answer(status, "{}"))

    assert (await asked.poller.ask("order:ABC", 0)).fetched.messages == []


@pytest.mark.parametrize("order_id", ["..", "1001/../../auth", "1001?x=1", "10 01", "1%2e", "", "é", "x" * 51])
async def test_what_is_no_id_never_becomes_an_address(asked: Asked, order_id: str) -> None:
    assert (await asked.poller.ask(f"order:{order_id}", 0)).fetched.messages == []
    assert asked.fake.faults.requests == []


async def test_a_byte_order_mark_is_no_obstacle(asked: Asked) -> None:
    asked.fake.byte_order_mark = True

    assert asked.read(await asked.poller.ask("order:1001", 0)).total == 12010


async def test_a_name_that_is_not_utf8_hides_no_order(asked: Asked) -> None:
    told = (
        b'{"Id":1001,"PaymentStatus":"Refunded","OrderTotal":12.50,"CustomerCurrencyCode":"GBP","FirstName":"Zo\xc3"}'
    )
    asked.fake.faults.then(answer(200, told))

    order = asked.read(await asked.poller.ask("order:1001", 0))

    assert (order.order_id, order.payment_status) == ("1001", "refunded")


async def test_an_order_that_is_not_understood_is_set_aside_once(asked: Asked) -> None:
    del asked.fake.orders["1001"]["CustomerCurrencyCode"]

    first = await asked.poller.ask("order:1001", 0)
    asked.fake.now += HOUR
    again = await asked.poller.ask("order:1001", 0)

    assert first.fetched.messages == again.fetched.messages
    assert [m.verdict for m in first.fetched.messages] == ["malformed"]


async def test_both_ways_to_sign_in_work(asked: Asked) -> None:
    asked.fake.auth = "raw"
    poller = asked.with_settings(auth_mode="raw")

    assert asked.read(await poller.ask("order:1001", 0)).order_id == "1001"
    assert await poller.faults() == []
    await poller.close()
    assert await asked.poller.faults() == [
        "our credentials were refused (HTTP 401): mend api_token, or try the other auth_mode"
    ]


@pytest.mark.parametrize("missing", get_args(Missing))
async def test_a_token_that_opens_the_api_has_no_fault(asked: Asked, missing: Missing) -> None:
    asked.fake.missing = missing

    assert [fault for fault in await asked.poller.faults() if missing != "page"] == []


async def test_an_address_that_leads_elsewhere_is_a_fault(asked: Asked) -> None:
    poller = asked.with_settings(api_base=str(asked.source.settings.api_base).removesuffix("/services/api"))

    assert await poller.faults() == ["api_base does not lead to Infigo's API: it answers with a page (HTTP 404)"]
    await poller.close()


async def test_the_paths_can_be_configured(asked: Asked) -> None:
    poller = asked.with_settings(order_path="v2/orders?number={id}")

    await poller.ask("order:1001", 0)

    assert asked.fake.faults.requests == [f"GET {PATH}/v2/orders"]
    await poller.close()


@pytest.mark.parametrize("path", ["order/detail", "/order/{id}", "https://h/{id}", "order/{id} HTTP/1.1", "é{id}"])
def test_a_path_that_cannot_be_is_refused_at_start(path: str) -> None:
    environ = {
        "REFUND_LEDGER_SOURCES__SHOP__KIND": "infigo",
        "REFUND_LEDGER_SOURCES__SHOP__WEBHOOK_TOKEN": "t",
        "REFUND_LEDGER_SOURCES__SHOP__ORDER_PATH": path,
    }

    with pytest.raises(ConfigError, match=r"sources\.shop\.order_path"):
        registry.load(environ=environ)


@pytest.mark.parametrize(
    ("fault", "retry_after", "permanent"),
    [
        (answer(429, retry_after="7"), 7, False),
        (answer(503, "<html>down</html>", retry_after="120"), 120, False),
        (answer(500, "someone@example.com"), None, False),
        (answer(401), None, True),
        (answer(403), None, True),
        (answer(405, "{}"), None, False),
        (answer(302, location="https://elsewhere.example.com/login"), None, False),
        (answer(200, "<order><Id>1001</Id></order>", content_type="application/xml"), None, False),
        (answer(200, '{"Id":1001'), None, False),
        (answer(200, "[1001]"), None, False),
        (answer(200, b"\xff\xfe"), None, False),
        (html(), None, False),
        (cut, None, False),
        (silence, None, False),
    ],
)
async def test_an_answer_not_to_rely_on_is_a_failure(
    asked: Asked,
    fault: Fault,
    retry_after: float | None,
    permanent: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(http_client, "CALL_SECONDS_MAX", 2)
    caplog.set_level(logging.INFO)
    asked.fake.faults.then(fault)

    with pytest.raises(ApiFailed) as failed:
        await asked.poller.ask("order:1001", 0)

    assert (failed.value.retry_after_seconds, failed.value.permanent) == (retry_after, permanent)
    assert TOKEN not in str(failed.value) + caplog.text
    assert "someone@example.com" not in str(failed.value) + caplog.text


async def test_a_bad_day_is_no_fault_of_the_configuration(asked: Asked) -> None:
    asked.fake.faults.then(answer(503))

    with pytest.raises(ApiFailed, match="503"):
        await asked.poller.faults()


async def test_the_source_makes_its_poller(asked: Asked) -> None:
    poller = asked.source.poller()

    assert isinstance(poller, InfigoPoller)
    assert asked.read(await poller.ask("order:1001", 0)).order_id == "1001"
    await poller.close()


async def test_there_is_no_list(asked: Asked) -> None:
    assert asked.poller.feeds() == ()


# What an event leaves open -------------------------------------------------------------------------------------------


def envelope(*items: object, entity: object = "orderlineitem") -> dict[str, Any]:
    return {"webhook": {"action": "updated", "entity": entity}, "data": list(items)}


@pytest.mark.parametrize(
    ("told", "asks"),
    [
        (envelope({"Id": "s1234"}), ["job:s1234"]),
        (envelope({"Id": "s1"}, {"Id": "s2"}, {"Id": "s1"}), ["job:s1", "job:s2"]),
        (envelope({"Id": "s1", "OrderId": 1001}), ["order:1001"]),
        (envelope({"Id": 1001}, entity="Order"), ["order:1001"]),
        (envelope(), []),
        (envelope({"Id": None}, {"Id": "../x"}, {"Id": {}}, 7, None, "s1"), []),
        (envelope({"Id": "s1"}, entity={}), ["job:s1"]),
        ({"webhook": {}, "data": {"Id": "s1"}}, ["job:s1"]),
        ({"webhook": {}}, []),
    ],
)
def test_an_envelope_leads_to_what_it_names(told: dict[str, Any], asks: list[str]) -> None:
    assert questions("webhook", told) == asks


@pytest.mark.parametrize(
    ("status", "refunded", "asks"),
    [
        ("PartiallyRefunded", None, ["order:1001"]),
        ("PartiallyRefunded", 15, []),
        ("Refunded", None, []),
        ("Paid", None, []),
    ],
)
def test_an_order_is_read_where_an_event_leaves_the_amount_open(
    status: str, refunded: int | None, asks: list[str]
) -> None:
    order = {"Id": 1001, "OrderTotal": 120, "PaymentStatus": status, "RefundedAmount": refunded}

    assert questions("order.changed", {"event": "order.changed", "order": order}) == asks


@pytest.mark.parametrize(
    ("payment", "order", "asks"),
    [
        ("Paid", "Processing", []),
        ("Pending", "Pending", []),
        ("Refunded", "Processing", ["order:1001"]),
        ("PartiallyRefunded", "Complete", ["order:1001"]),
        ("Voided", "Processing", ["order:1001"]),
        ("Paid", "Cancelled", ["order:1001"]),
    ],
)
def test_an_order_is_read_where_the_document_of_its_placement_tells_of_its_end(
    payment: str, order: str, asks: list[str]
) -> None:
    assert questions("flow.order", {"OrderId": 1001, "PaymentStatus": payment, "OrderStatus": order}) == asks


def test_an_order_that_was_read_leaves_nothing_open() -> None:
    assert questions("api.order", {"Id": 1001, "PaymentStatus": "PartiallyRefunded"}) == []
