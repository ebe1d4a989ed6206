"""Stripe's API asked about single things, for comparison, about our endpoint, and on bad days."""

import json
import logging
from typing import Any

import pytest

from ledger.facts import DisputeFact, PaymentFact, RefundFact
from ledger.instants import DAY, SECOND, Instant
from sources import http_client
from sources.polling import ApiFailed, Listed
from sources.stripe import SNAPSHOTS, Stripe, StripeSettings
from sources.stripe_api import StripePoller
from tests.fakes.faults import Fault, answer, cut, html, silence
from tests.fakes.stripe import KEY, body_of
from tests.sources.questions import open_questions
from tests.sources.stripe_asked import ACCOUNT, HOUR, NOW, Asked, event

# Questions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "age", "again"),
    [
        ("pending", 0, HOUR),
        ("pending", 3 * DAY, 6 * HOUR),
        ("pending", 20 * DAY, DAY),
        ("requires_action", 60 * DAY, 7 * DAY),
        ("pending", 90 * DAY, None),
        ("succeeded", 0, DAY),
        ("succeeded", 7 * DAY, 7 * DAY),
        ("succeeded", 90 * DAY, None),
        ("failed", 0, None),
        ("canceled", 0, None),
    ],
)
async def test_a_refund_is_asked_about_until_it_can_no_longer_fail(
    asked: Asked, status: str, age: Instant, again: Instant | None
) -> None:
    refund = asked.fake.refund(asked.fake.pay(1000), 300, status)
    asked.fake.now += age

    found = await asked.poller.ask(f"refund:{refund}", 0)

    assert (found.fetched.as_of, found.again_after) == (NOW + age, again)
    [message] = found.fetched.messages
    assert (open_questions(asked.source, event(message.type, message.body, NOW + age)) != []) is (again is not None)


async def test_the_order_is_found_in_the_data_of_the_payment(asked: Asked) -> None:
    charge = asked.fake.pay(1000, metadata={"order_id": "1001"})

    returned, _ = await asked.facts(f"refund:{asked.fake.refund(charge, 300)}")

    assert isinstance(returned, RefundFact)
    assert returned.order_refs == ("1001",)


async def test_a_refund_of_a_connected_account_is_asked_of_that_account(asked: Asked) -> None:
    refund = asked.fake.refund(asked.fake.pay(1000, account=ACCOUNT), 300)
    [told] = [e for e in asked.fake.outbox if e["type"] == "refund.created"]

    [about] = open_questions(asked.source, event("refund.created", body_of(told)))

    assert about == f"refund:{refund}@{ACCOUNT}"
    assert len((await asked.poller.ask(about, 0)).fetched.messages) == 1
    assert [account for _, _, account in asked.fake.queries] == [ACCOUNT]


async def test_a_refund_of_which_the_account_is_not_told_is_found_among_all(asked: Asked) -> None:
    refund = asked.fake.refund(asked.fake.pay(1000, account=ACCOUNT), 300)
    settings = asked.source.settings.model_copy(update={"accounts": (ACCOUNT,)})
    poller = StripePoller(Stripe("stripe", settings), lambda: NOW)

    assert len((await poller.ask(f"refund:{refund}", 0)).fetched.messages) == 1
    await poller.close()


async def test_what_is_not_there_is_asked_for_a_day(asked: Asked) -> None:
    answers = [await asked.poller.ask("refund:re_none", age) for age in (0, DAY)]

    assert [(a.fetched.messages, a.again_after) for a in answers] == [([], HOUR), ([], None)]


async def test_a_thin_event_leads_to_its_object(asked: Asked) -> None:
    charge = asked.fake.pay(1000, account=ACCOUNT)
    refund, dispute = asked.fake.refund(charge, 300), asked.fake.dispute(charge, 700)
    twins = [asked.fake.thin(e) for e in asked.fake.outbox]
    asked.fake.queries.clear()

    abouts = [a for t in twins for a in open_questions(asked.source, event(t["type"], json.dumps(t).encode()))]
    facts = [fact for about in dict.fromkeys(abouts) for fact in await asked.facts(about)]

    intent = asked.fake.find(charge)["payment_intent"]
    expected = [f"{kind}@{ACCOUNT}" for kind in (f"charge:{charge}", f"payment_intent:{intent}", f"refund:{refund}")]
    assert list(dict.fromkeys(abouts)) == [*expected, f"dispute:{dispute}@{ACCOUNT}"]
    assert {f.id for f in facts if isinstance(f, RefundFact)} == {refund}
    assert {f.captured for f in facts if isinstance(f, PaymentFact)} == {1000}
    assert [(f.dispute_id, f.amount) for f in facts if isinstance(f, DisputeFact)] == [(dispute, 700)]


async def test_an_authorisation_that_expired_is_released(asked: Asked) -> None:
    charge = asked.fake.pay(1000, capture=False)
    asked.fake.expire(charge)
    intent = asked.fake.find(charge)["payment_intent"]

    facts = [*await asked.facts(f"charge:{charge}"), *await asked.facts(f"payment_intent:{intent}")]

    assert [(f.captured, f.voided) for f in facts if isinstance(f, PaymentFact)] == [(0, True), (0, True)]
    assert not [f for f in facts if isinstance(f, RefundFact)]


@pytest.mark.parametrize(
    "thin",
    [
        {},
        {"related_object": None},
        {"related_object": {"type": "refund"}},
        {"related_object": {"type": "account", "id": "acct_1"}},
        {"related_object": {"type": ["refund"], "id": "re_1"}},
        {"related_object": {"type": "refund", "id": "re_1/../../x?y=1"}},
        {"related_object": {"type": "refund", "id": "re_1@acct_1"}},
        {"related_object": {"type": "refund", "id": 1}},
    ],
)
def test_a_thin_event_that_points_at_nothing_we_know_asks_nothing(thin: dict[str, Any]) -> None:
    body = json.dumps({"id": "evt_1", "type": "v1.refund.created", "livemode": True, **thin}).encode()
    settings = StripeSettings.model_validate({"kind": "stripe", "webhook_secrets": ["s"]})

    assert open_questions(Stripe("stripe", settings), event("v1.refund.created", body)) == []


@pytest.mark.parametrize(("settings", "askable"), [({}, False), ({"api_key": "rk_1"}, True),
                                                   ({"api_key": "rk_1", "poll_interval": "off"}, False)])  # fmt: skip
def test_a_source_with_a_key_can_be_asked(settings: dict[str, str], *, askable: bool) -> None:
    own = StripeSettings.model_validate({"kind": "stripe", "webhook_secrets": ["s"], **settings})

    assert Stripe("stripe", own).askable is askable


# For comparison ------------------------------------------------------------------------------------------------------


async def test_refunds_and_chargebacks_are_listed_as_the_ledger_has_them(asked: Asked) -> None:
    charge, yen = asked.fake.pay(1000), asked.fake.pay(500, "jpy")
    refunds = [asked.fake.refund(charge, 100), asked.fake.refund(yen, 50, "pending")]
    lost, won = asked.fake.dispute(charge, 200), asked.fake.dispute(charge, 300)
    asked.fake.win(won)
    asked.fake.expire(asked.fake.pay(7, capture=False))

    found = {one.id: one for one in await asked.listed(NOW, NOW + SECOND)}

    assert found == {
        refunds[0]: Listed(refunds[0], "refund", "succeeded", 100, "GBP", NOW),
        refunds[1]: Listed(refunds[1], "refund", "pending", 50, "JPY", NOW),
        lost: Listed(lost, "chargeback", "succeeded", 200, "GBP", NOW),
        won: Listed(won, "chargeback", "reversed", 300, "GBP", NOW),
    }
    assert await asked.listed(NOW - DAY, NOW) == []


async def test_a_listed_refund_that_is_not_understood_is_named_in_the_log(
    asked: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    refund = asked.fake.refund(asked.fake.pay(1000), 100)
    asked.fake.find(refund)["currency"] = "no currency"

    assert await asked.listed(NOW, NOW + SECOND) == []
    assert "not understood" in caplog.text


# Our endpoint over there ---------------------------------------------------------------------------------------------

NAMED = "https://ledger.example.com/webhooks/stripe"


async def test_an_endpoint_that_is_enabled_and_subscribed_has_no_fault(asked: Asked) -> None:
    asked.fake.register(NAMED, SNAPSHOTS)

    assert await asked.poller.faults() == []


@pytest.mark.parametrize(
    ("endpoints", "fault"),
    [
        ([], "no webhook endpoint"),
        ([("https://h/webhooks/other", ("*",), "enabled")], "no webhook endpoint"),
        ([(NAMED, ("*",), "disabled")], "is not enabled"),
        ([(NAMED, SNAPSHOTS[1:], "enabled")], "is not subscribed to refund.created"),
        ([(NAMED, ("*",), "disabled"), (NAMED + "/", ("*",), "enabled")], None),
    ],
)
async def test_what_is_wrong_with_the_endpoint_is_said(
    asked: Asked, endpoints: list[tuple[str, tuple[str, ...], str]], fault: str | None
) -> None:
    for endpoint in endpoints:
        asked.fake.register(*endpoint)

    faults = await asked.poller.faults()

    assert [fault in said for said in faults] == [True] if fault else faults == []


async def test_a_key_of_the_other_mode_is_a_fault(asked: Asked) -> None:
    asked.fake.livemode = True
    asked.fake.register(NAMED)

    assert "other mode" in (await asked.poller.faults())[0]


async def test_a_key_that_may_not_read_endpoints_is_a_fault_and_stops_nothing_else(asked: Asked) -> None:
    asked.fake.forbidden = {"/v1/webhook_endpoints"}

    assert "may not read webhook endpoints" in (await asked.poller.faults())[0]


# Bad days ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "retry_after", "permanent"),
    [
        (answer(429, '{"error":{"type":"rate_limit"}}', retry_after="7"), 7, False),
        (answer(503, "<html>down</html>", retry_after="120", content_type="text/html"), 120, False),
        (answer(500, '{"error":{"type":"api_error","message":"someone@example.com"}}'), None, False),
        (answer(401, '{"error":{"message":"Invalid API Key"}}'), None, True),
        (answer(403, '{"error":{"message":"no right"}}'), None, True),
        (answer(400, '{"error":{"message":"someone@example.com"}}'), None, False),
        (answer(404, "<html>someone@example.com</html>"), None, False),
        (answer(302, "", location="https://elsewhere.example.com/"), None, False),
        (answer(200, "\ufeff{}"), None, False),
        (answer(200, b"\xff\xfe"), None, False),
        (answer(200, "7"), None, False),
        (html(), None, False),
        (cut, None, False),
        (silence, None, False),
    ],
)
async def test_an_answer_not_to_rely_on_is_a_failure_and_is_not_tried_again_by_the_package(
    asked: Asked,
    fault: Fault,
    retry_after: float | None,
    permanent: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(http_client, "CALL_SECONDS_MAX", 2)
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.WARNING, "stripe")  # as config.logs has it
    asked.fake.faults.then(fault)

    with pytest.raises(ApiFailed) as failed:
        await asked.poller.ask("refund:re_1", 0)

    assert (failed.value.retry_after_seconds, failed.value.permanent) == (retry_after, permanent)
    assert len(asked.fake.faults.requests) == 1
    assert KEY not in str(failed.value) + caplog.text
    assert "someone@example.com" not in str(failed.value) + caplog.text


async def test_a_storm_passes_and_nothing_is_missing(asked: Asked) -> None:
    charge = asked.fake.pay(100_000)
    refunds = [asked.fake.refund(charge, 1) for _ in range(150)]
    asked.fake.faults.then(answer(503), None, answer(429, retry_after="1"), cut, None, None)
    found: set[str | None] = set()

    failures = 0
    for _ in range(5):
        try:
            found |= {m.key for m in await asked.fetch("refunds")}
            break
        except ApiFailed:
            failures += 1

    assert (len(found), failures) == (len(refunds), 3)


async def test_the_pace_keeps_below_the_limit_of_the_other_side(asked: Asked) -> None:
    asked.fake.per_second = 25
    asked.poller = StripePoller(
        Stripe("stripe", asked.source.settings.model_copy(update={"requests_per_second": 20})), lambda: NOW
    )

    for _ in range(30):
        await asked.fetch("refunds")

    assert asked.fake.refused == 0


async def test_a_list_that_is_not_there_is_a_failure(asked: Asked) -> None:
    asked.fake.faults.then(answer(404, '{"error":{}}'), answer(500))

    with pytest.raises(ApiFailed, match="there is no"):
        await asked.fetch("refunds")
    with pytest.raises(ApiFailed, match="500"):
        await asked.poller.faults()


async def test_the_source_makes_its_poller(asked: Asked) -> None:
    poller = asked.source.poller()

    assert isinstance(poller, StripePoller)
    assert (await poller.ask("refund:re_none", 0)).fetched.as_of > 0
    await poller.close()


async def test_nothing_is_told_of_this_machine(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    import stripe

    asked.fake.pay(1)
    await asked.fetch("events")

    assert not stripe.enable_telemetry
