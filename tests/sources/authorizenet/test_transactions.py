"""What the details of a transaction say, status by status."""

import json

import pytest

from ledger.facts import DisputeFact, Fact, PaymentFact, RefundFact, RefundStatus
from ledger.instants import from_rfc3339
from ledger.payments import fold_gateway
from sources.authorizenet import AuthorizeNet, AuthorizeNetSettings
from sources.authorizenet_transactions import DETAILS, ROW, details, details_message, row_message
from sources.base import Event, NotUnderstood
from tests.sources.questions import open_questions

SUBMITTED = from_rfc3339("2026-11-02T15:04:05.12Z")
SETTLED = from_rfc3339("2026-11-03T08:38:54.52Z")
SEEN = from_rfc3339("2026-11-04T00:00:00Z")

ANET = AuthorizeNet(
    "anet", AuthorizeNetSettings.model_validate({"kind": "authorizenet", "webhook_secrets": "s", "currency": "CAD"})
)


def body(kind: str, status: str, **changes: object) -> bytes:
    """An answer with details, byte order mark and all."""
    transaction = {
        "transId": "690",
        "submitTimeUTC": "2026-11-02T15:04:05.12Z",
        "transactionType": kind and f"{kind}Transaction",
        "transactionStatus": status,
        "authAmount": 25.5,
        "settleAmount": 25.5,
        "order": {"invoiceNumber": "104233", "description": "Order 104233"},
        "payment": {"creditCard": {"cardNumber": "XXXX1111"}},
        **changes,
    }
    told = {name: value for name, value in transaction.items() if value is not None}
    return b"\xef\xbb\xbf" + json.dumps({"transaction": told, "messages": {"resultCode": "Ok"}}).encode()


def facts(kind: str, status: str, **changes: object) -> list[Fact]:
    return ANET.interpret(Event(1, "anet", "1", DETAILS, body(kind, status, **changes), SEEN))


def questions(kind: str, status: str, **changes: object) -> list[str]:
    return open_questions(ANET, Event(1, "anet", "1", DETAILS, body(kind, status, **changes), SEEN))


@pytest.mark.parametrize(
    ("status", "ours"),
    [
        *[(s, "pending") for s in ("refundPendingSettlement", "underReview", "FDSPendingReview", "approvedReview")],
        *[(s, "pending") for s in ("FDSAuthorizedPendingReview", "pendingSettlement", "pendingFinalSettlement")],
        *[(s, "pending") for s in ("updatingSettlement", "capturedPendingSettlement", "authorizedPendingCapture")],
        ("authorizedPendingRelease", "pending"),
        ("refundSettledSuccessfully", "succeeded"),
        ("settledSuccessfully", "succeeded"),
        ("voided", "canceled"),
        *[(s, "failed") for s in ("declined", "generalError", "communicationError", "settlementError")],
        *[(s, "failed") for s in ("failedReview", "couldNotVoid", "expired", "returnedItem")],
    ],
)
def test_every_status_of_a_refund(status: str, ours: RefundStatus) -> None:
    [fact] = facts("refund", status, refTransId="680")

    assert fact == RefundFact(
        "anet",
        "690",
        "refund",
        ours,
        2550,
        "CAD",
        SUBMITTED,
        SEEN,
        ("680",),
        ("104233",),
    )
    assert questions("refund", status, refTransId="680") == (["refund:690"] if ours == "pending" else []) + [
        "payment:680"
    ]


def test_a_refund_whose_money_came_back_has_failed() -> None:
    [fact] = facts("refund", "refundSettledSuccessfully", returnedItems=[{"id": "1"}])
    assert isinstance(fact, RefundFact)
    assert fact.status == "failed"


def test_a_refund_without_a_type_is_known_by_its_status() -> None:
    [fact] = facts("", "refundPendingSettlement", transactionType=None)
    assert isinstance(fact, RefundFact)


@pytest.mark.parametrize("reference", [None, "", "0"])
def test_an_unlinked_credit_names_no_payment_and_stays_visible(reference: str | None) -> None:
    told = facts("refund", "refundSettledSuccessfully", refTransId=reference, order=None)

    [returned] = fold_gateway(told)[1]
    assert (returned.payment, returned.order_refs, returned.refund.returned) == (None, (), 2550)
    assert questions("refund", "refundSettledSuccessfully", refTransId=reference) == []


@pytest.mark.parametrize(
    ("kind", "status", "captured"),
    [
        *[("authCapture", s, 2000) for s in ("capturedPendingSettlement", "settledSuccessfully", "pendingSettlement")],
        *[("authOnly", s, 2000) for s in ("capturedPendingSettlement", "settledSuccessfully")],
        *[("authCapture", s, 2000) for s in ("pendingFinalSettlement", "updatingSettlement", "approvedReview")],
        *[("authCapture", s, 0) for s in ("declined", "generalError", "communicationError", "settlementError")],
        *[("authCapture", s, 0) for s in ("failedReview", "underReview", "FDSPendingReview")],
        *[("authOnly", s, 0) for s in ("authorizedPendingCapture", "authorizedPendingRelease", "expired")],
        *[("authOnly", s, 0) for s in ("approvedReview", "couldNotVoid", "FDSAuthorizedPendingReview")],
        ("priorAuthCapture", "couldNotVoid", 2000),
        ("captureOnly", "settledSuccessfully", 2000),
        ("", "settledSuccessfully", 2000),
    ],
)
def test_what_was_captured_of_a_payment(kind: str, status: str, captured: int) -> None:
    [fact] = facts(kind, status, settleAmount=20, authAmount=25.5)

    assert isinstance(fact, PaymentFact)
    assert (fact.ids, fact.captured, fact.currency, fact.order_refs) == (("690",), captured, "CAD", ("104233",))
    assert fact.voided == (status == "expired")
    assert questions(kind, status) == []


def test_the_void_of_a_captured_payment_returns_its_whole_amount() -> None:
    told = facts("authCapture", "voided", settleAmount=0)

    assert told[1] == RefundFact("anet", "690", "void", "succeeded", 2550, "CAD", SEEN, SEEN, ("690",), ("104233",))
    [returned] = fold_gateway(told)[1]
    assert returned.refund.returned == 2550


def test_the_void_of_what_was_only_authorised_returns_nothing() -> None:
    told = facts("authOnly", "voided", settleAmount=0)

    payments, returned = fold_gateway(told)
    assert [p.captured for p in payments] == [0]
    assert returned == []


def test_a_void_that_is_a_transaction_of_its_own_has_the_id_of_what_it_voids() -> None:
    [fact] = facts("void", "voided", refTransId="680")
    assert isinstance(fact, RefundFact)
    assert (fact.id, fact.kind, fact.payment_ids) == ("680", "void", ("680",))


def test_a_void_was_made_no_later_than_its_batch_settled() -> None:
    told = facts("authCapture", "voided", batch={"batchId": "1", "settlementTimeUTC": "2026-11-03T08:38:54.52Z"})
    assert isinstance(told[1], RefundFact)
    assert told[1].at == SETTLED


def test_a_chargeback_takes_the_money_of_its_payment() -> None:
    payment, moved = facts("authCapture", "chargeback")

    assert isinstance(payment, PaymentFact)
    assert payment.captured == 2550
    assert moved == DisputeFact("anet", "690", "", "withdrawn", 2550, "CAD", SEEN, ("690",))
    assert questions("authCapture", "chargeback") == ["payment:690"]


def test_a_reversal_gives_it_back() -> None:
    taken, given = facts("authCapture", "chargeback"), facts("authCapture", "chargebackReversal")

    [returned] = fold_gateway([*taken, *given])[1]
    assert returned.refund.status == "reversed"
    assert fold_gateway(given)[1] == []


def test_a_chargeback_that_is_a_transaction_of_its_own_is_told_apart_from_its_payment() -> None:
    [moved] = facts("authCapture", "chargeback", refTransId="680", settleAmount=5)

    assert moved == DisputeFact("anet", "680", "690", "withdrawn", 500, "CAD", SUBMITTED, ("680", "690"))


@pytest.mark.parametrize("status", ["returnedItem", "settledSuccessfully"])
def test_a_returned_item_takes_the_money_when_it_was_returned(status: str) -> None:
    items = [{"id": "1", "dateUTC": "2026-11-03T12:00:00Z", "code": "R02"}]
    moved = facts("authCapture", status, returnedItems=items)[1]

    assert isinstance(moved, DisputeFact)
    assert (moved.direction, moved.at) == ("withdrawn", from_rfc3339("2026-11-03T12:00:00Z"))


HOSTILE: list[dict[str, object]] = [
    {"transId": None},
    {"transId": []},
    {"transactionStatus": "fine"},
    {"transactionStatus": None},
    {"submitTimeUTC": "yesterday"},
    {"authAmount": None, "settleAmount": None},
    {"settleAmount": "25,50"},
    {"settleAmount": -25.5},
    {"settleAmount": 25.505},
    {"returnedItems": "one"},
    {"refTransId": "6\u00e9"},
]


@pytest.mark.parametrize("changes", HOSTILE, ids=str)
def test_details_that_cannot_be_read_are_not_understood(changes: dict[str, object]) -> None:
    with pytest.raises(NotUnderstood):
        facts("refund", "refundPendingSettlement", **changes)


def test_a_refund_that_is_said_to_be_charged_back_is_not_understood() -> None:
    with pytest.raises(NotUnderstood):
        facts("refund", "chargeback")


@pytest.mark.parametrize("text", [b"", b"{}", b'{"transaction":[]}', b"<html>"])
def test_an_answer_without_details_is_not_understood(text: bytes) -> None:
    with pytest.raises(NotUnderstood):
        ANET.interpret(Event(1, "anet", "1", DETAILS, text, SEEN))


def test_the_same_state_has_the_same_key_and_another_state_another() -> None:
    keys = [
        details_message(text, details(text)).key
        for text in (
            body("refund", "refundPendingSettlement"),
            body("refund", "refundPendingSettlement")[3:],
            body("refund", "refundSettledSuccessfully"),
            body("refund", "refundPendingSettlement", settleAmount=20),
        )
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_the_row_of_a_payment_is_kept_without_the_people_in_it() -> None:
    row = {
        "transId": "680",
        "submitTimeUTC": "2026-11-02T15:04:05Z",
        "transactionStatus": "settledSuccessfully",
        "invoiceNumber": "104233",
        "firstName": "Ellen",
        "accountNumber": "XXXX1111",
        "settleAmount": "25.50",
    }
    message = row_message(row)

    assert b"Ellen" not in message.body
    assert b"1111" not in message.body
    event = Event(1, "anet", "1", ROW, message.body, SEEN)
    assert ANET.interpret(event) == [PaymentFact("anet", ("680",), SEEN, "CAD", captured=2550, order_refs=("104233",))]
    assert open_questions(ANET, event) == []


def test_a_refund_and_its_void_under_the_same_id_are_a_canceled_refund() -> None:
    voided = facts("void", "voided", refTransId="690", submitTimeUTC="2026-11-02T18:00:00Z")
    told = [*facts("refund", "refundPendingSettlement", refTransId="680"), *voided]

    [returned] = fold_gateway(told)[1]
    assert (returned.refund.kind, returned.refund.status) == ("refund", "canceled")
