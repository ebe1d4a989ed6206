"""CyberSource: what its requests say, how it is asked, and bad days."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ledger.facts import Fact, PaymentFact, RefundFact, RefundStatus, decode, encode
from ledger.instants import DAY, from_rfc3339
from ledger.money import AMOUNT_MAX
from ledger.payments import fold_gateway
from sources.base import Delivery, Event, Message, NotUnderstood
from sources.cybersource import CyberSource, CyberSourceSettings
from sources.cybersource_api import ASK_FOR, CyberSourcePoller
from sources.polling import HOUR, ApiFailed
from tests.fakes.cybersource import KEY_ID, MERCHANT, SECRET, FakeCyberSource, declined, ordered, transaction
from tests.fakes.faults import Fault, answer, cut, html
from tests.sources.questions import open_questions
from tests.sources.test_adyen_checkout_worldpay_hostile import places

NOW = from_rfc3339("2026-11-21T12:00:00Z")
MADE = from_rfc3339("2026-11-20T12:00:00Z")
PAYMENT, CAPTURE, REFUND, VOID = "6001", "6002", "6003", "6004"


def source(**settings: object) -> CyberSource:
    own = {"kind": "cybersource", "merchant_id": MERCHANT, "key_id": KEY_ID, "shared_secret": SECRET}
    return CyberSource("cybersource", CyberSourceSettings.model_validate(own | settings))


CYBERSOURCE = source()


def event(details: dict[str, Any]) -> Event:
    return Event(1, "cybersource", "k", "api.transaction", json.dumps(details).encode(), NOW)


def told(details: dict[str, Any], asked: CyberSource = CYBERSOURCE) -> list[Fact]:
    return asked.interpret(event(details))


def credit(status: str = "PENDING", name: str = "ics_credit") -> dict[str, Any]:
    return transaction(REFUND, name, "15.00", status, CAPTURE, root=PAYMENT)


# What they say -------------------------------------------------------------------------------------------------------


def test_nothing_that_is_sent_to_it_is_believed() -> None:
    body = json.dumps(credit()).encode()

    assert not CYBERSOURCE.authentic(Delivery({"v-c-signature": "t=1;keyId=1;sig=1"}, body, NOW))
    assert CYBERSOURCE.messages(Delivery({}, body, NOW)) == []


@pytest.mark.parametrize(
    ("status", "read", "early"),
    [
        ("PENDING", "pending", "succeeded"),
        ("", "pending", "succeeded"),
        ("TRANSMITTED", "succeeded", "succeeded"),
        ("VOIDED", "canceled", "canceled"),
        ("BATCH_ERROR", "failed", "failed"),
    ],
)
def test_a_refund_has_its_status_and_all_requests_of_its_payment(
    status: str, read: RefundStatus, early: RefundStatus
) -> None:
    details = ordered(credit(status), "1001")

    fact = RefundFact(
        "cybersource", REFUND, "refund", read, 1500, "GBP", MADE, NOW, (PAYMENT, CAPTURE), ("1001",)
    )  # fmt: skip
    assert told(details) == [fact]
    [accepted] = told(details, source(refund_succeeds="accepted"))
    assert isinstance(accepted, RefundFact)
    assert accepted.status == early


def test_a_refund_that_was_refused_has_failed() -> None:
    [fact] = told(declined(credit("PENDING")))

    assert isinstance(fact, RefundFact)
    assert fact.status == "failed"


def test_a_credit_that_follows_nothing_has_no_payment() -> None:
    [fact] = told(transaction(REFUND, "ics_credit", "15.00", "TRANSMITTED"))

    assert isinstance(fact, RefundFact)
    assert fact.payment_ids == ()


def test_a_sale_tells_what_was_captured_and_an_authorisation_that_it_does_not() -> None:
    facts = [*told(transaction(PAYMENT, "ics_auth,ics_bill", "25.50")), *told(transaction("7001", "ics_auth", "9.00"))]

    assert [(f.ids, f.authorised, f.captured) for f in facts if isinstance(f, PaymentFact)] == [
        ((PAYMENT,), 2550, 2550),
        (("7001",), 900, None),
    ]


def test_a_capture_of_its_own_may_be_one_of_several() -> None:
    [fact] = told(transaction(CAPTURE, "ics_bill", "10.00", "TRANSMITTED", PAYMENT))

    assert isinstance(fact, PaymentFact)
    assert (fact.ids, fact.captured) == ((PAYMENT, CAPTURE), None)


def test_a_payment_that_was_refused_captured_nothing() -> None:
    [fact] = told(declined(transaction(PAYMENT, "ics_auth,ics_bill", "25.50")))

    assert isinstance(fact, PaymentFact)
    assert fact.captured == 0


def test_a_void_of_a_capture_gives_all_of_it_back() -> None:
    facts = [
        *told(transaction(PAYMENT, "ics_auth,ics_bill", "25.50")),
        *told(transaction(VOID, "ics_void", "25.50", "", PAYMENT)),
    ]

    [returned] = fold_gateway(facts)[1]
    assert (returned.refund.id, returned.refund.kind, returned.refund.amount) == (PAYMENT, "void", 2550)


def test_a_void_of_a_capture_that_names_the_whole_payment_is_one_void() -> None:
    [fact] = told(transaction(VOID, "ics_void", "25.50", "", PAYMENT, CAPTURE, root=PAYMENT))

    assert isinstance(fact, RefundFact)
    assert (fact.id, fact.payment_ids) == (CAPTURE, (PAYMENT, CAPTURE))


@pytest.mark.parametrize("related", [(CAPTURE, REFUND), ()])
def test_a_void_of_nobody_knows_what_is_set_aside(related: tuple[str, ...]) -> None:
    with pytest.raises(NotUnderstood, match="it is not told what was voided"):
        told(transaction(VOID, "ics_void", "25.50", "", *related, root=PAYMENT if related else VOID))


def test_a_void_of_a_refund_cancels_it() -> None:
    facts = [*told(credit("VOIDED")), *told(transaction(VOID, "ics_void", "15.00", "", REFUND, root=PAYMENT))]

    [returned] = fold_gateway(facts)[1]
    assert (returned.refund.id, returned.refund.kind, returned.refund.status) == (REFUND, "refund", "canceled")


def test_a_reversal_releases_what_was_not_captured() -> None:
    facts = [
        *told(transaction(PAYMENT, "ics_auth", "25.50")),
        *told(transaction("6009", "ics_auth_reversal", "25.50", "", PAYMENT)),
    ]

    [payment], returned = fold_gateway(facts)
    assert (payment.captured, payment.released, returned) == (0, True, [])
    assert told(declined(transaction("6009", "ics_auth_reversal", "25.50", "", PAYMENT))) == []
    assert told(declined(transaction(VOID, "ics_void", "25.50", "", PAYMENT))) == []


def test_what_is_asked_next() -> None:
    assert open_questions(CYBERSOURCE, event(credit())) == [f"refund:{REFUND}", f"payment:{PAYMENT}"]
    assert open_questions(CYBERSOURCE, event(credit("TRANSMITTED"))) == [f"payment:{PAYMENT}"]
    assert open_questions(CYBERSOURCE, event(credit("TRANSMITTED", "ics_ecp_credit")))[0] == f"refund:{REFUND}"
    assert open_questions(CYBERSOURCE, event(transaction(PAYMENT, "ics_auth,ics_bill", "1.00"))) == []


BROKEN: list[dict[str, Any]] = [
    {"id": None},
    {"id": ["x"]},
    {"submitTimeUTC": 10**99},
    {"orderInformation": []},
    {"applicationInformation": "x"},
    {"orderInformation": {"amountDetails": {"totalAmount": "9" * 5000, "currency": "GBP"}}},
    {"orderInformation": {"amountDetails": {"totalAmount": "-1.00", "currency": "GBP"}}},
    {"_links": {"relatedTransactions": {"href": "x"}}},
    {"applicationInformation": {"applications": [{"name": "ics_credit", "rCode": "1", "status": "UNHEARD_OF"}]}},
]


@pytest.mark.parametrize("changes", BROKEN, ids=range(len(BROKEN)))
def test_what_is_not_understood_says_so(changes: dict[str, Any]) -> None:
    with pytest.raises(NotUnderstood):
        told(credit() | changes)


JUNK: Any = (
    st.none()
    | st.text(max_size=10)
    | st.integers()
    | st.lists(st.text(), max_size=2)
    | st.fixed_dictionaries({"id": st.just("x")})
)


@given(st.sampled_from([credit(), transaction(VOID, "ics_void", "1.00", "", PAYMENT)]), st.data())
def test_any_value_in_any_place_gives_facts_or_is_not_understood(made: dict[str, Any], data: st.DataObject) -> None:
    details = json.loads(json.dumps(made))
    for _ in range(data.draw(st.integers(1, 3))):
        data.draw(st.sampled_from(list(places(details))))(data.draw(JUNK))
    try:
        facts = told(details)
    except NotUnderstood:
        return
    assert all(question.isascii() for question in open_questions(CYBERSOURCE, event(details)))
    for fact in facts:
        assert decode(encode(fact)) == fact
        assert isinstance(fact, PaymentFact) or 0 <= fact.amount <= AMOUNT_MAX  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "wrong",
    [{"shared_secret": "not base64"}, {"merchant_id": "a b"}, {"key_id": ""}, {"webhook_secrets": ["x"]},
     {"api_base": "https://api.cybersource.com/tss"}],
)  # fmt: skip
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        source(**wrong)


# Asking --------------------------------------------------------------------------------------------------------------


class Asked:
    """A fake, and a source of ours that asks it."""

    def __init__(self, fake: FakeCyberSource, base: str, **settings: object) -> None:
        self.fake, self.base = fake, base
        self.source = source(api_base=base, requests_per_second=100, **settings)
        self.poller = CyberSourcePoller(self.source, lambda: NOW)

    async def fetch(self) -> list[Message]:
        [feed] = self.poller.feeds()
        return [message async for fetched in feed.fetch(NOW - 2 * DAY, NOW) for message in fetched.messages]


@pytest.fixture
async def asked(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Asked]:
    monkeypatch.setattr("sources.cybersource_api.PAGE", 2)
    fake = FakeCyberSource()
    with fake.serving() as base:
        made = Asked(fake, base)
        yield made
        await made.poller.close()


async def test_the_search_is_read_page_by_page_and_only_what_gives_back_is_looked_into(asked: Asked) -> None:
    asked.fake.has(
        *(transaction(f"50{n}", "ics_auth,ics_bill", "1.00") for n in range(3)),
        credit(),
        transaction(VOID, "ics_void", "1.00", "", PAYMENT),
        transaction("1", "ics_credit", "1.00", "", submitTimeUTC="2026-11-18T12:00:00Z"),
    )

    messages = await asked.fetch()

    assert [json.loads(m.body)["id"] for m in messages] == [REFUND, VOID]
    assert asked.fake.faults.requests == [
        "POST /tss/v2/searches", "POST /tss/v2/searches", f"GET /tss/v2/transactions/{REFUND}",
        "POST /tss/v2/searches", f"GET /tss/v2/transactions/{VOID}",
    ]  # fmt: skip
    assert asked.fake.queries[0]["query"] == f"submitTimeUtc:[{(NOW - 2 * DAY) // 1000} TO {NOW // 1000}]"
    assert await asked.fetch() == []  # known


async def test_pages_that_are_shorter_than_asked_for_leave_nothing_out(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sources.cybersource_api.PAGE", 1000)
    asked.fake.has(*(transaction(f"50{n}", "ics_credit", "1.00", "", PAYMENT) for n in range(5)))

    assert [json.loads(m.body)["id"] for m in await asked.fetch()] == [f"50{n}" for n in range(5)]


async def test_nothing_about_the_customer_is_kept(asked: Asked) -> None:
    asked.fake.has(credit())

    [message] = await asked.fetch()

    assert not any(word in message.body for word in (b"Ellen", b"@", b"4242"))


@pytest.mark.parametrize(
    ("state", "again"),
    [
        (credit("PENDING"), HOUR),
        (credit("TRANSMITTED"), None),
        (credit("TRANSMITTED", "ics_ecp_credit"), HOUR),
        (credit("BATCH_ERROR"), None),
    ],
)
async def test_a_refund_is_asked_about_until_it_cannot_change(
    asked: Asked, state: dict[str, Any], again: int | None
) -> None:
    asked.fake.has(state)

    found = await asked.poller.ask(f"refund:{REFUND}", 0)

    assert (len(found.fetched.messages), found.again_after) == (1, again)
    assert (await asked.poller.ask(f"refund:{REFUND}", ASK_FOR)).again_after is None


async def test_what_is_not_there_is_asked_for_a_day_and_what_is_no_id_never(asked: Asked) -> None:
    answers = [await asked.poller.ask("payment:404", age) for age in (0, DAY)]
    assert [a.again_after is None for a in answers] == [False, True]
    asked.fake.faults.requests.clear()

    assert (await asked.poller.ask("payment:../searches", 0)).fetched.messages == []
    assert asked.fake.faults.requests == []


async def test_refunds_and_voids_are_listed_as_the_ledger_has_them(asked: Asked) -> None:
    asked.fake.has(credit("TRANSMITTED"), transaction(VOID, "ics_void", "9.00", "", "8001"))

    listed = [one async for page in asked.poller.listed(NOW - 2 * DAY, NOW) for one in page]

    assert {(one.id, one.kind, one.status, one.amount) for one in listed} == {
        (REFUND, "refund", "succeeded", 1500),
        ("8001", "void", "succeeded", 900),
    }


@pytest.mark.parametrize("status", ["VOIDED", "PENDING"])
async def test_a_refund_that_was_voided_the_next_day_is_listed_as_canceled(asked: Asked, status: str) -> None:
    asked.fake.has(
        credit(status),
        transaction(VOID, "ics_void", "15.00", "", REFUND, root=PAYMENT, submitTimeUTC="2026-11-21T09:00:00Z"),
    )

    for since, expected in ((NOW - 2 * DAY, {REFUND: ("refund", "canceled")}), (NOW - DAY // 2, {})):
        listed = [one async for page in asked.poller.listed(since, NOW) for one in page]
        assert {one.id: (one.kind, one.status) for one in listed} == expected


@pytest.mark.parametrize("wrong", [{"shared_secret": "AAAA"}, {"key_id": "another"}, {"merchant_id": "another"}])
async def test_wrong_keys_are_a_fault_that_lasts(asked: Asked, wrong: dict[str, object]) -> None:
    assert await asked.poller.faults() == []
    other = Asked(asked.fake, asked.base, **wrong)

    for call in (other.fetch(), other.poller.faults()):
        with pytest.raises(ApiFailed) as failure:
            await call
        assert failure.value.permanent
    await other.poller.close()


async def test_the_pause_that_is_asked_for_is_told(asked: Asked) -> None:
    asked.fake.faults.then(answer(429, retry_after="7"))

    with pytest.raises(ApiFailed) as failure:
        await asked.fetch()
    assert failure.value.retry_after_seconds == 7


BAD = [
    answer(500),
    answer(404),
    answer(502, "x"),
    html(),
    cut,
    answer(200, b"[]"),
    answer(200, b'{"_embedded":{"transactionSummaries":{}}}'),
    answer(200, b'{"_embedded":{"transactionSummaries":[]}}'),
    answer(200, b'{"totalCount":1}'),
]


@pytest.mark.parametrize("fault", BAD, ids=range(len(BAD)))
async def test_a_bad_answer_is_a_failure(asked: Asked, fault: Fault) -> None:
    asked.fake.faults.then(fault)

    with pytest.raises(ApiFailed):
        await asked.fetch()


async def test_details_that_are_not_there_yet_are_fetched_by_the_next_walk(asked: Asked) -> None:
    asked.fake.has(credit() | {"submitTimeUTC": "2026-11-21T06:00:01Z"})
    asked.fake.faults.then(None, answer(404))

    assert await asked.fetch() == []
    assert [json.loads(m.body)["id"] for m in await asked.fetch()] == [REFUND]


def set_aside(message: Message) -> bool:
    """Whether it is stored, and not understood."""
    assert b"ellen" not in message.body.lower()
    if message.verdict != "malformed":
        return False
    with pytest.raises(NotUnderstood, match="a row of the search"):
        CYBERSOURCE.interpret(Event(1, "cybersource", "k", message.type, message.body, NOW))
    return True


@pytest.mark.parametrize("status", [400, 404])
async def test_a_request_whose_details_never_come_is_set_aside_once_and_stops_nothing(
    asked: Asked, status: int
) -> None:
    asked.fake.has(
        credit() | {"submitTimeUTC": "2026-11-21T06:00:00Z"}, transaction(VOID, "ics_void", "1.00", "", PAYMENT)
    )
    asked.fake.faults.then(None, answer(status))

    messages = await asked.fetch()

    assert [(json.loads(m.body)["id"], set_aside(m)) for m in messages] == [(REFUND, True), (VOID, False)]
    assert messages[0].key == f"row:{REFUND}"
    assert await asked.fetch() == []


WANTED_ROW = {
    "id": REFUND,
    "submitTimeUtc": "2026-11-20T12:00:00Z",
    "orderInformation": {"billTo": {"firstName": "Ellen"}},
    "applicationInformation": {"applications": [{"name": "ics_credit"}]},
}


@pytest.mark.parametrize(
    "row",
    [1, None, {}, WANTED_ROW | {"id": None}, WANTED_ROW | {"id": "../x"}, WANTED_ROW | {"submitTimeUtc": "soon"},
     WANTED_ROW | {"applicationInformation": []}],
    ids=range(7),
)  # fmt: skip
async def test_a_row_that_is_none_is_set_aside_and_stops_nothing(asked: Asked, row: object) -> None:
    asked.fake.has(credit())
    rows = {"totalCount": 2, "_embedded": {"transactionSummaries": [row, WANTED_ROW]}}
    asked.fake.faults.then(answer(200, json.dumps(rows).encode()))

    messages = await asked.fetch()

    assert [set_aside(m) for m in messages] == [True, False]
    assert json.loads(messages[1].body)["id"] == REFUND
    assert asked.fake.faults.requests[1:] == [f"GET /tss/v2/transactions/{REFUND}"]


async def test_what_was_set_aside_cannot_be_compared(asked: Asked) -> None:
    asked.fake.faults.then(answer(200, b'{"totalCount":1,"_embedded":{"transactionSummaries":[{}]}}'))

    with pytest.raises(ApiFailed, match="a row of the search"):
        [page async for page in asked.poller.listed(NOW - DAY, NOW)]
