"""Authorize.net on its bad days, and our endpoint over there."""

import asyncio
import json
from typing import Any

import pytest

from ledger.instants import DAY
from sources import http_client
from sources.authorizenet import AuthorizeNet
from sources.authorizenet_api import AuthorizeNetPoller
from sources.base import Event, NotUnderstood
from sources.polling import ApiFailed
from tests.fakes.authorizenet import LOGIN, FakeAuthorizeNet
from tests.fakes.faults import Fault, answer, cut, html, silence
from tests.sources.authorizenet.asking import T0, Door, Reader, source

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
    (answer(200, b"\xff\xfe{}"), "not JSON"),
    (answer(200, b""), "not JSON"),
    (answer(200, b"null"), "not an object"),
    (answer(200, b"{}"), "messages is not an object"),
    (answer(200, b'{"messages":{"resultCode":"Error"}}'), "an error without a code"),
    (answer(200, b'{"messages":{"resultCode":"Error","message":{"code":"E00001","text":"x"}}}'), "E00001"),
    (answer(200, b'{"messages":{"resultCode":"Error","message":[{"code":"' + b"k" * 99 + b'"}]}}'), "without a code"),
    (answer(200, b'{"messages":{"resultCode":"Ok"},"transactions":{"transaction":[]}}'), "not a list"),
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


OK = b'{"messages":{"resultCode":"Ok"},%s}'
STRANGE_ROWS = [
    b'"transactions":[1]',
    b'"transactions":[{"transId":"1","firstName":"Ellen"}]',
    b'"transactions":[{"transId":[],"transactionStatus":"voided"}]',
    b'"transactions":[{"transId":"../1","transactionStatus":"voided"}]',
]


@pytest.mark.parametrize("told", STRANGE_ROWS)
async def test_a_row_that_is_none_is_set_aside_once_and_the_walk_goes_on(
    fake: FakeAuthorizeNet, reader: Reader, told: bytes
) -> None:
    fake.refund(None, "25.50")
    fake.settle()
    walks = []
    for _ in range(2):
        fake.faults.then(answer(200, OK % told))
        walks.append(await reader.walk(T0 - DAY, T0 + DAY))

    aside = {message.key: message for walk in walks for message in walk if message.verdict == "malformed"}
    [message] = aside.values()
    assert b"Ellen" not in message.body
    with pytest.raises(NotUnderstood):
        reader.anet.interpret(Event(1, "anet", "", message.type, message.body, T0))
    assert len(reader.returned()) == 1


async def test_a_batch_that_is_none_is_set_aside_and_the_walk_goes_on(fake: FakeAuthorizeNet, reader: Reader) -> None:
    refund = fake.refund(None, "25.50")
    batch = fake.settle()
    batches = b'"batchList":[{"settlementState":"settledSuccessfully"},{"batchId":"%s"}]' % batch.encode()
    fake.faults.then(None, answer(200, OK % batches))

    told = await reader.walk(T0 - DAY, T0 + DAY)

    assert [message.verdict for message in told] == ["malformed", "used"]
    assert list(reader.returned()) == [refund]


@pytest.mark.parametrize("details", [b'"transaction":7', b'"transaction":{"transId":"1"}'])
async def test_details_that_cannot_be_read_are_set_aside_and_the_walk_goes_on(
    fake: FakeAuthorizeNet, reader: Reader, details: bytes
) -> None:
    refunds = [fake.refund(None, "5") for _ in range(3)]
    fake.faults.then(None, None, answer(200, OK % details))

    told = await reader.walk(T0 - DAY, T0)

    assert [message.verdict for message in told] == ["used", "malformed", "used"]
    assert list(reader.returned()) == [refunds[0], refunds[2]]
    with pytest.raises(NotUnderstood):
        reader.anet.interpret(Event(1, "anet", "", told[1].type, told[1].body, T0))


async def test_a_name_that_is_not_utf8_hides_no_refund(fake: FakeAuthorizeNet, reader: Reader) -> None:
    refund = fake.refund(None, "25.50")
    told = b'"transactions":[{"transId":"%s","transactionStatus":"refundPendingSettlement","firstName":"Zo\xc3"}]'
    details = (
        b'"transaction":{"transId":"%s","transactionType":"refundTransaction","settleAmount":25.50,'
        b'"transactionStatus":"refundPendingSettlement","submitTimeUTC":"2026-11-02T14:00:00Z","billTo":"Zo\xc3"}'
    )
    fake.faults.then(*(answer(200, OK % (body % refund.encode())) for body in (told, details)))

    await reader.walk(T0 - DAY, T0)

    assert list(reader.returned()) == [refund]


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
