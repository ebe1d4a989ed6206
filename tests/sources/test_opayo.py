"""Opayo: what its transactions say, how it is asked, and bad days."""

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
from sources.opayo import Opayo, OpayoSettings
from sources.opayo_api import FAILS_WITHIN, OpayoPoller
from sources.polling import ApiFailed
from tests.fakes.faults import Fault, answer, cut, html
from tests.fakes.opayo import PASSWORD, USER, VENDOR, FakeOpayo, guid, transaction
from tests.sources.questions import open_questions
from tests.sources.test_adyen_checkout_worldpay_hostile import places

NOW = from_rfc3339("2026-11-21T12:00:00Z")
MADE = from_rfc3339("2026-11-20T12:00:00.123Z")


def source(**settings: object) -> Opayo:
    own = {"kind": "opayo", "vendor": VENDOR, "user": USER, "password": PASSWORD}
    return Opayo("opayo", OpayoSettings.model_validate(own | settings))


OPAYO = source()


def event(made: dict[str, Any], *related: dict[str, Any]) -> Event:
    body = json.dumps({"transaction": made, "related": list(related)}).encode()
    return Event(1, "opayo", "k", "api.transaction", body, NOW)


def told(made: dict[str, Any], *related: dict[str, Any], asked: Opayo = OPAYO) -> list[Fact]:
    return asked.interpret(event(made, *related))


# What they say -------------------------------------------------------------------------------------------------------


def test_nothing_that_is_sent_to_it_is_believed() -> None:
    assert not OPAYO.authentic(Delivery({}, b"VPSTxId=1&VPSSignature=2", NOW))
    assert OPAYO.messages(Delivery({}, b"VPSTxId=1&VPSSignature=2", NOW)) == []


@pytest.mark.parametrize(
    ("state", "read"), [(16, "succeeded"), (6, "pending"), (18, "canceled"), (23, "failed"), (12, "failed")]
)
def test_a_refund_has_its_state_its_payment_and_their_codes(state: int, read: RefundStatus) -> None:
    facts = told(transaction(2, "Refund", "15.00", state), transaction(1, "Payment", "25.50"))

    ids = (guid(1), "{" + guid(1) + "}")
    assert facts == [
        RefundFact("opayo", guid(2), "refund", read, 1500, "GBP", MADE, NOW, ids, ("code-1", "code-2"))
    ]  # fmt: skip


def test_a_refund_of_which_nothing_related_is_told_has_no_payment() -> None:
    [fact] = told(transaction(2, "Refund", "15.00"), transaction(3, "Refund", "1.00"))

    assert isinstance(fact, RefundFact)
    assert fact.payment_ids == ()


@pytest.mark.parametrize(
    ("state", "captured", "authorised", "released"),
    [(16, 1_025_50, None, False), (14, 0, 1_025_50, False), (19, 0, None, True), (12, 0, None, False)],
)
def test_a_payment_tells_what_was_captured(state: int, captured: int, authorised: int | None, released: bool) -> None:
    [fact] = told(transaction(1, "Deferred", "1,025.50", state))

    assert isinstance(fact, PaymentFact)
    assert (fact.captured, fact.authorised, fact.voided) == (captured, authorised, released)
    assert fact.ids == (guid(1), "{" + guid(1) + "}")


def test_a_void_of_a_payment_gives_all_of_it_back() -> None:
    [returned] = fold_gateway(told(transaction(1, "Payment", "25.50", 18)))[1]

    refund = returned.refund
    assert (refund.id, refund.kind, refund.status, refund.amount, refund.at) == (
        guid(1),
        "void",
        "succeeded",
        2550,
        MADE,
    )


def test_times_are_those_of_the_account() -> None:
    summer = transaction(1, "Payment", "1.00", started="01/07/2026 12:00:00")

    for asked, at in ((OPAYO, "2026-07-01T11:00:00Z"), (source(timezone="UTC"), "2026-07-01T12:00:00Z")):
        [fact] = told(summer, asked=asked)
        assert isinstance(fact, PaymentFact)
        assert fact.as_of == from_rfc3339(at)


def test_the_order_is_found_in_the_code_by_a_pattern() -> None:
    made = transaction(1, "Payment", "1.00", vendortxcode="1001-20261120-77")

    for pattern, refs in (("^([0-9]+)-", ("1001",)), ("^X([0-9]+)", ()), (None, ("1001-20261120-77",))):
        [fact] = told(made, asked=source(order_pattern=pattern))
        assert isinstance(fact, PaymentFact)
        assert fact.order_refs == refs


def test_what_is_asked_next() -> None:
    payment = transaction(1, "Payment", "25.50")
    assert open_questions(OPAYO, event(transaction(2, "Refund", "1.00"), payment)) == [
        f"refund:{guid(2)}",
        f"payment:{guid(1)}",
    ]
    assert open_questions(OPAYO, event(transaction(2, "Refund", "1.00", 23), payment)) == [f"payment:{guid(1)}"]
    assert open_questions(OPAYO, event(payment)) == []


BROKEN: list[dict[str, Any]] = [
    {"vpstxid": "x"},
    {"vpstxid": None},
    {"txstateid": "99"},
    {"transactiontype": "Tip"},
    {"amount": "-1.00"},
    {"amount": "9" * 5000},
    {"amount": "1.005"},
    {"amount": "12,50"},
    {"currency": ""},
    {"started": "2026-11-20"},
    {"started": ["x"]},
]


@pytest.mark.parametrize("changes", BROKEN, ids=range(len(BROKEN)))
def test_what_is_not_understood_says_so(changes: dict[str, Any]) -> None:
    with pytest.raises(NotUnderstood):
        told(transaction(2, "Refund", "15.00") | changes)


JUNK: Any = (
    st.none()
    | st.text(max_size=10)
    | st.integers()
    | st.lists(st.text(), max_size=2)
    | st.fixed_dictionaries({"id": st.just("x")})
)


@given(st.sampled_from(["Refund", "Payment"]), st.data())
def test_any_value_in_any_place_gives_facts_or_is_not_understood(kind: str, data: st.DataObject) -> None:
    made = {"transaction": transaction(2, kind, "15.00", 18), "related": [transaction(1, "Payment", "1.00")]}
    for _ in range(data.draw(st.integers(1, 3))):
        data.draw(st.sampled_from(list(places(made))))(data.draw(JUNK))
    state = Event(1, "opayo", "k", "api.transaction", json.dumps(made).encode(), NOW)
    try:
        facts = OPAYO.interpret(state)
    except NotUnderstood:
        return
    assert all(question.isascii() for question in open_questions(OPAYO, state))
    for fact in facts:
        assert decode(encode(fact)) == fact
        assert isinstance(fact, PaymentFact) or 0 <= fact.amount <= AMOUNT_MAX  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "wrong",
    [{"vendor": "a<b"}, {"user": ""}, {"password": ""}, {"timezone": "Nowhere/Here"}, {"order_pattern": "("},
     {"order_pattern": "[0-9]+"}, {"api_base": "https://live.sagepay.com/access"}],
)  # fmt: skip
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        source(**wrong)


# Asking --------------------------------------------------------------------------------------------------------------


class Asked:
    """A fake, and a source of ours that asks it."""

    def __init__(self, fake: FakeOpayo, base: str, **settings: object) -> None:
        self.fake, self.base = fake, base
        self.source = source(api_base=base, requests_per_second=100, **settings)
        self.poller = OpayoPoller(self.source, lambda: NOW)

    async def fetch(self, name: str) -> list[Message]:
        [feed] = [feed for feed in self.poller.feeds() if feed.name == name]
        return [message async for fetched in feed.fetch(NOW - 2 * DAY, NOW) for message in fetched.messages]


def numbers(messages: list[Message]) -> list[int]:
    return [int(json.loads(m.body)["transaction"]["vpstxid"][-12:], 16) for m in messages]


@pytest.fixture
async def asked(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Asked]:
    monkeypatch.setattr("sources.opayo_api.PAGE", 2)
    fake = FakeOpayo()
    with fake.serving() as base:
        made = Asked(fake, base)
        yield made
        await made.poller.close()


async def test_refunds_are_listed_page_by_page_and_looked_into_with_what_they_are_related_to(asked: Asked) -> None:
    asked.fake.has(transaction(1, "Payment", "99.00"), *(transaction(n, "Refund", "1.00", 16, 1) for n in range(2, 7)))
    asked.fake.has(transaction(9, "Refund", "1.00", started="18/11/2026 12:00:00.000"))

    messages = await asked.fetch("refunds")

    assert numbers(messages) == [2, 3, 4, 5, 6]
    assert asked.fake.commands.count("getTransactionList") == 3
    [fact] = told(json.loads(messages[0].body)["transaction"], asked=asked.source)
    assert isinstance(fact, RefundFact)
    assert json.loads(messages[0].body)["related"][0]["vpstxid"] == guid(1)
    assert await asked.fetch("refunds") == []  # known


async def test_nothing_about_the_customer_is_kept(asked: Asked) -> None:
    asked.fake.has(transaction(1, "Payment", "1.00"), transaction(2, "Refund", "1.00", 16, 1))

    [message] = await asked.fetch("refunds")

    assert not any(word in message.body for word in (b"Zo", b"@", b"4242"))


async def test_payments_are_looked_at_once_more_for_voids_unless_that_is_switched_off(asked: Asked) -> None:
    asked.fake.has(transaction(1, "Payment", "1.00", 18), transaction(2, "Deferred", "1.00", 14))

    assert numbers(await asked.fetch("payments")) == [1, 2]
    other = Asked(asked.fake, asked.base, find_voids=False)
    assert [feed.name for feed in other.poller.feeds()] == ["refunds"]
    await other.poller.close()


@pytest.mark.parametrize(("state", "again"), [(16, DAY), (6, DAY), (23, None), (18, None)])
async def test_a_refund_is_asked_about_while_its_settlement_can_fail(
    asked: Asked, state: int, again: int | None
) -> None:
    asked.fake.has(transaction(2, "Refund", "1.00", state))

    found = await asked.poller.ask(f"refund:{guid(2)}", 0)

    assert (len(found.fetched.messages), found.again_after) == (1, again)
    assert (await asked.poller.ask(f"refund:{guid(2)}", FAILS_WITHIN)).again_after is None


async def test_where_related_transactions_are_refused_the_refund_is_told_without(asked: Asked) -> None:
    asked.fake.has(transaction(1, "Payment", "1.00"), transaction(2, "Refund", "1.00", 16, 1))
    asked.fake.related_allowed = False

    [message] = await asked.fetch("refunds")

    assert json.loads(message.body)["related"] == []


async def test_what_is_not_there_is_asked_for_a_day_and_what_is_no_id_never(asked: Asked) -> None:
    answers = [await asked.poller.ask(f"payment:{guid(404)}", age) for age in (0, DAY)]
    assert [a.again_after is None for a in answers] == [False, True]
    asked.fake.commands.clear()

    assert (await asked.poller.ask("payment:<x>", 0)).fetched.messages == []
    assert asked.fake.commands == []


async def test_refunds_and_voids_are_listed_as_the_ledger_has_them(asked: Asked) -> None:
    asked.fake.has(
        transaction(1, "Payment", "9.00", 18, started="19/11/2026 12:00:00.000"),
        transaction(2, "Refund", "1.00", 16, 3),
        transaction(3, "Payment", "5"),
    )

    listed = [one async for page in asked.poller.listed(NOW - 2 * DAY, NOW) for one in page]

    assert {(one.id, one.kind, one.status, one.amount) for one in listed} == {
        (guid(1), "void", "succeeded", 900),
        (guid(2), "refund", "succeeded", 100),
    }


async def test_a_wrong_password_is_a_fault(asked: Asked) -> None:
    assert await asked.poller.faults() == []
    other = Asked(asked.fake, asked.base, password="another")

    [fault] = await other.poller.faults()
    assert "error 0010" in fault
    with pytest.raises(ApiFailed, match="error 0010"):
        await other.fetch("refunds")
    await other.poller.close()


async def test_the_pause_that_is_asked_for_is_told(asked: Asked) -> None:
    asked.fake.faults.then(answer(429, retry_after="7"))

    with pytest.raises(ApiFailed) as failure:
        await asked.fetch("refunds")
    assert failure.value.retry_after_seconds == 7


LIST = "<vspaccess><errorcode>0000</errorcode><transactions>{}</transactions></vspaccess>"
REFUND = "<transaction><transactiontype>Refund</transactiontype>{}</transaction>"
BAD = [
    answer(500),
    answer(404),
    html(),
    cut,
    answer(200),
    answer(200, "<other/>"),
    answer(200, "<vspaccess/>"),
    answer(200, "<vspaccess><errorcode>&lt;script&gt;</errorcode></vspaccess>"),
    answer(200, '<!DOCTYPE a [<!ENTITY b "0000">]><vspaccess><errorcode>&b;</errorcode></vspaccess>'),
    answer(200, "<vspaccess><errorcode>0000</errorcode><transactions>x</transactions></vspaccess>"),
]


@pytest.mark.parametrize("fault", BAD, ids=range(len(BAD)))
async def test_a_bad_answer_is_a_failure(asked: Asked, fault: Fault) -> None:
    asked.fake.faults.then(fault)

    with pytest.raises(ApiFailed) as failure:
        await asked.fetch("refunds")
    assert "script" not in str(failure.value)


STRANGE_ROWS = ["<transaction>x</transaction>", REFUND.format(""), REFUND.format("<vpstxid>../x</vpstxid>")]


@pytest.mark.parametrize("row", STRANGE_ROWS)
async def test_a_row_that_cannot_be_read_is_set_aside_and_the_walk_goes_on(asked: Asked, row: str) -> None:
    asked.fake.has(*(transaction(n, "Refund", "1.00") for n in (1, 2)))
    listed = f"<totalrows>3</totalrows>{row}{REFUND.format(f'<vpstxid>{guid(1)}</vpstxid>')}"
    second = f"<totalrows>3</totalrows>{REFUND.format(f'<vpstxid>{guid(2)}</vpstxid>')}"
    asked.fake.faults.then(answer(200, LIST.format(listed)), None, None, answer(200, LIST.format(second)))

    messages = await asked.fetch("refunds")

    assert [m.verdict for m in messages] == ["used", "malformed", "used"]
    with pytest.raises(NotUnderstood):
        asked.source.interpret(Event(1, "opayo", "", messages[1].type, messages[1].body, NOW))


@pytest.mark.parametrize("related", ["<transaction>x</transaction>", "x"])
async def test_a_related_transaction_that_cannot_be_read_does_not_hide_the_refund(asked: Asked, related: str) -> None:
    asked.fake.has(transaction(2, "Refund", "1.00"))
    asked.fake.faults.then(None, None, answer(200, LIST.format(related)))

    [message] = await asked.fetch("refunds")

    assert message.verdict == "used"
    [fact] = asked.source.interpret(Event(1, "opayo", "", message.type, message.body, NOW))
    assert isinstance(fact, RefundFact)


async def test_a_list_that_does_not_tell_how_many_there_are_is_read_to_its_last_page(asked: Asked) -> None:
    rows = [REFUND.format(f"<vpstxid>{guid(n)}</vpstxid>") for n in (1, 2, 3)]
    asked.fake.has(*(transaction(n, "Refund", "1.00") for n in (1, 2, 3)))
    asked.fake.faults.then(answer(200, LIST.format("".join(rows[:2]))), *[None] * 4, answer(200, LIST.format(rows[2])))

    assert numbers(await asked.fetch("refunds")) == [1, 2, 3]


async def test_a_refund_whose_details_are_not_there_yet_is_looked_into_by_the_next_walk(asked: Asked) -> None:
    asked.fake.has(transaction(1, "Refund", "1.00"))
    asked.fake.faults.then(None, answer(200, "<vspaccess><errorcode>0043</errorcode></vspaccess>"))

    assert await asked.fetch("refunds") == []
    assert numbers(await asked.fetch("refunds")) == [1]
