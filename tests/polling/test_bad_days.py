"""Sources that are out, in a storm, slow, talking nonsense, or refusing us."""

import itertools

import pytest

from ledger.instants import SECOND
from sources import http_client
from storage.polling import Question, add_questions, due_questions, put_off, settle_question
from sync.poll import ASK_FOR, BACK_OFF_SECONDS, LOOK_SECONDS, REFUSED_MAX
from tests.fakes.faults import Faults, answer, cut, html, silence
from tests.polling.world import HOUR, T0, World

NOT_OVERWORKED = 40
"""Calls in a day to a source that does not answer: at most hourly after the first few."""


def two_orders(world: World) -> tuple[str, str]:
    """One paid at Stripe, one at Authorize.net; the charge and the sale."""
    charge = world.stripe.pay(100_00, metadata={"order_id": "1001"})
    world.shop.place("1001", "100.00", world.stripe.find(charge)["payment_intent"])
    sale = world.anet.sell("100.00", "1002")
    world.shop.place("1002", "100.00", sale)
    world.anet.settle()
    world.pass_(HOUR)
    return charge, sale


def refunded(world: World, charge: str, sale: str) -> None:
    """Both are refunded, and recorded."""
    world.stripe.refund(charge, 40_00)
    world.anet.refund(sale, "40.00", "1002")
    world.anet.settle()
    world.shop.refund("1001", "40.00")
    world.shop.refund("1002", "40.00")


def faults_of(world: World, name: str) -> Faults:
    return {"stripe": world.stripe.faults, "anet": world.anet.faults, "shop": world.shop.faults}[name]


MATCHED = {"stripe": "matched 1001 40.00 40.00", "anet": "matched 1002 40.00 40.00"}


@pytest.mark.parametrize("out", ["stripe", "anet", "shop"])
async def test_a_day_without_a_source_delays_nothing_else_and_is_caught_up(both: World, out: str) -> None:
    charge, sale = two_orders(both)
    await both.poll()
    refunded(both, charge, sale)
    faults = faults_of(both, out)
    faults.then(*[answer(503)] * 1000)
    faults.requests.clear()
    next_turn = both.now
    for _ in range(24):
        both.pass_(HOUR)
        for name in both.polls:
            if name != out:
                assert await both.turn(name) == LOOK_SECONDS
            elif both.now >= next_turn:
                next_turn = both.now + round(await both.turn(name) * SECOND)
        await both.work()

    lines = await both.lines()
    assert 0 < len(faults.requests) < NOT_OVERWORKED
    assert all(line in lines for name, line in MATCHED.items() if out not in (name, "shop"))
    assert MATCHED.get(out) not in lines

    faults.line.clear()
    both.pass_(HOUR)
    await both.poll()
    await both.poll()
    assert await both.lines() == sorted(MATCHED.values())
    assert both.counted("poll_errors_total", out) > 1


async def test_what_a_source_asks_us_to_wait_is_waited(world: World) -> None:
    world.stripe.refund(world.stripe.pay(100_00), 40_00)
    world.pass_(HOUR)
    world.stripe.faults.then(answer(429, retry_after="120"), answer(500), answer(503, retry_after="7"), answer(529))

    pauses = [await world.turn("stripe") for _ in range(5)]

    for pause, asked in zip(pauses, (120, BACK_OFF_SECONDS[1], 7, BACK_OFF_SECONDS[3]), strict=False):
        assert asked <= pause <= asked * 1.1
    assert pauses[4] == LOOK_SECONDS
    await world.work()
    assert len(await world.entries()) == 1
    assert world.counted("poll_errors_total", "stripe") == 4


async def test_answers_that_are_none_cost_time_and_nothing_else(both: World, monkeypatch: pytest.MonkeyPatch) -> None:
    charge, sale = two_orders(both)
    await both.poll()
    refunded(both, charge, sale)
    both.shop.byte_order_mark = True
    nonsense = (cut, html(), silence, answer(200, b"\xff\xfe{"), answer(200, "{}", content_type="text/plain"))
    with monkeypatch.context() as hasty:
        hasty.setattr(http_client, "CALL_SECONDS_MAX", 0.5)
        for name, fault in itertools.product(("stripe", "anet"), nonsense):
            faults_of(both, name).then(fault)
            assert await both.turn(name) >= BACK_OFF_SECONDS[0], fault
    assert await both.lines() == []

    # Of the storefront single orders are asked for, each again later where there was no answer.
    both.pass_(HOUR)
    for name in ("stripe", "anet"):
        assert await both.turn(name) == LOOK_SECONDS
    await both.work()
    with monkeypatch.context() as hasty:
        hasty.setattr(http_client, "CALL_SECONDS_MAX", 0.5)
        for fault in nonsense[:4]:
            both.shop.faults.then(fault)
            assert await both.turn("shop") >= BACK_OFF_SECONDS[0], fault
            both.pass_(HOUR)
    await both.turn("shop")
    await both.poll()
    assert await both.lines() == sorted(MATCHED.values())


async def test_a_webhook_secret_that_is_rotated_too_late_costs_no_refund(world: World) -> None:
    charge = world.stripe.pay(100_00)
    world.collect()
    await world.deliver_all()
    world.signing_secret = "whsec_the_next"
    world.stripe.refund(charge, 40_00)
    world.collect()
    assert await world.deliver(*world.sent) == [False, False]
    world.pass_(HOUR)
    await world.poll()
    assert len(await world.entries()) == 1
    assert world.counted("recovered_events_total", "stripe") == 2

    async with world.configured(SOURCES__STRIPE__WEBHOOK_SECRETS='["whsec_of_the_fake", "whsec_the_next"]'):
        assert await world.deliver(*world.sent) == [True, True]
        await world.poll()
    assert world.counted("recovered_events_total", "stripe") == 2


async def test_a_key_that_is_rotated_too_late_costs_no_refund(both: World) -> None:
    charge, sale = two_orders(both)
    await both.poll()
    refunded(both, charge, sale)
    wrong = {
        "SOURCES__STRIPE__API_KEY": "rk_test_the_former",
        "SOURCES__ANET__TRANSACTION_KEY": "former",
        "SOURCES__SHOP__API_TOKEN": "former",
    }
    async with both.configured(**wrong):
        both.pass_(HOUR)
        for name in ("stripe", "anet"):
            # Nobody mends a key within minutes: no storm of calls meanwhile.
            assert await both.turn(name) >= BACK_OFF_SECONDS[-1]
    async with both.configured():
        both.pass_(HOUR)
        await both.poll()
    assert await both.lines() == sorted(MATCHED.values())


async def test_a_right_that_the_key_lacks_stops_only_what_needs_it(world: World) -> None:
    world.stripe.forbidden = {"/v1/events"}
    refund = world.stripe.refund(world.stripe.pay(100_00), 40_00)
    world.pass_(HOUR)

    assert await world.turn("stripe") >= BACK_OFF_SECONDS[-1]

    await world.work()
    [entry] = await world.entries()
    assert [r.id for r in entry.gateway_refunds] == [refund]
    assert set(await world.checkpoints("stripe")) == {"refunds"}


async def test_a_list_that_cannot_be_read_stops_neither_the_others_nor_the_questions(world: World) -> None:
    charge = world.stripe.pay(100_00)
    pending = world.stripe.refund(charge, 10_00, "pending")
    world.collect()
    await world.deliver_all()
    await world.poll()
    standing = await world.checkpoints("stripe")
    refund = world.stripe.refund(charge, 40_00)
    world.stripe.becomes(pending, "succeeded")
    world.pass_(24 * HOUR)
    world.stripe.faults.then(html())  # for the list of events, the first that is asked for

    assert await world.turn("stripe") >= BACK_OFF_SECONDS[0]

    await world.work()
    states = {r.id: r.status for entry in await world.entries() for r in entry.gateway_refunds}
    assert states == {pending: "succeeded", refund: "succeeded"}
    moved = await world.checkpoints("stripe")
    assert {name for name in moved if moved[name] != standing[name]} == {"refunds"}


async def test_a_question_that_is_never_answered_keeps_no_other_waiting_and_is_given_up(world: World) -> None:
    charge = world.stripe.pay(100_00)
    refunds = [world.stripe.refund(charge, 10_00, "pending") for _ in range(3)]
    world.stripe.forbidden = {f"/v1/refunds/{id_}" for id_ in refunds[:2]}
    world.collect()
    await world.deliver_all()
    await world.poll()
    world.pass_(24 * HOUR)
    world.stripe.becomes(refunds[2], "succeeded")

    assert await world.turn("stripe") == LOOK_SECONDS

    await world.work()
    states = {r.id: r.status for entry in await world.entries() for r in entry.gateway_refunds}
    assert states == {refunds[0]: "pending", refunds[1]: "pending", refunds[2]: "succeeded"}
    assert world.counted("poll_errors_total", "stripe") > 0
    assert world.counted("poll_last_success_timestamp_seconds", "stripe") == world.now / SECOND
    world.pass_(ASK_FOR)
    for _ in refunds:  # what was asked for twice is given up twice
        await world.turn("stripe")
    async with world.database.read() as conn:
        assert await due_questions(conn, "stripe", world.now + ASK_FOR, 100) == []


async def test_many_questions_and_no_answer_are_not_the_questions_fault(world: World) -> None:
    charge = world.stripe.pay(100_00)
    refunds = [world.stripe.refund(charge, 1_00, "pending") for _ in range(REFUSED_MAX + 1)]
    world.stripe.forbidden = {f"/v1/refunds/{id_}" for id_ in refunds}
    world.collect()
    await world.deliver_all()
    await world.work()
    world.pass_(HOUR)
    assert await world.turn("stripe") >= BACK_OFF_SECONDS[-1]


async def test_a_clock_that_was_ahead_leaves_nothing_unfetched(world: World) -> None:
    right = world.now
    world.pass_(365 * 24 * HOUR)
    await world.turn("stripe")
    world.now = right
    world.pass_(HOUR)
    refund = world.stripe.refund(world.stripe.pay(100_00), 40_00)
    world.pass_(HOUR)
    await world.poll()
    assert [r.id for entry in await world.entries() for r in entry.gateway_refunds] == [refund]
    assert {c.reached <= world.now for c in (await world.checkpoints("stripe")).values()} == {True}


async def test_who_does_not_lead_any_more_tells_nothing_of_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.polls["stripe"]._faults_at = 0
    await world.turn("stripe")
    assert world.counted("endpoint_faults", "stripe") == 1

    async def no() -> bool:
        return False

    monkeypatch.setattr(world.database, "try_lead", no)
    for _ in range(2):
        await world.turn("stripe")
    text = world.metrics.text().decode()
    for gauge in ("endpoint_faults", "poll_deadline_timestamp_seconds"):
        assert f'refund_ledger_{gauge}{{source="stripe"}}' not in text
    monkeypatch.undo()
    await world.turn("stripe")
    assert world.counted("endpoint_faults", "stripe") == 1


async def test_a_fault_of_ours_while_polling_is_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def falls(_feed: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr(world.polls["stripe"], "walk", falls)
    with pytest.raises(KeyError):
        await world.turn("stripe")
    assert world.counted("poll_errors_total", "stripe") == 1


async def test_the_endpoint_is_watched(world: World) -> None:
    async def faults() -> float:
        world.polls["stripe"]._faults_at = 0
        await world.turn("stripe")
        return world.counted("endpoint_faults", "stripe")

    assert await faults() == 1
    world.stripe.register("https://refunds.example.com/webhooks/stripe")
    world.stripe.endpoints[0]["livemode"] = False
    assert await faults() == 0
    world.stripe.forbidden = {"/v1/webhook_endpoints"}
    assert await faults() == 1


async def test_how_near_the_end_of_the_events_list_is_shows_also_while_nothing_answers(world: World) -> None:
    world.pass_(HOUR)
    await world.turn("stripe")
    deadline = world.counted("poll_deadline_timestamp_seconds", "stripe")
    assert deadline == (world.now - 60 * SECOND) / SECOND + 30 * 24 * 3600
    world.stripe.faults.then(*[answer(503)] * 10)
    async with world.configured():
        world.metrics.polls.deadline.clear()
        await world.turn("stripe")
    assert world.counted("poll_deadline_timestamp_seconds", "stripe") == deadline


async def test_an_order_that_is_not_there_yet_is_asked_for_again(world: World) -> None:
    charge = world.stripe.pay(100_00, metadata={"order_id": "1001"})
    world.stripe.refund(charge, 40_00)
    world.pass_(HOUR)
    await world.poll()
    assert await world.lines() == ["pending 40.00"]

    world.shop.place("1001", "100.00", world.stripe.find(charge)["payment_intent"])
    world.shop.refund("1001", "40.00")
    world.pass_(2 * HOUR)
    await world.poll()
    assert await world.lines() == ["matched 1001 40.00 40.00"]


async def test_what_comes_up_while_an_answer_is_on_its_way_is_asked(world: World) -> None:
    question = Question("shop", "order:1001", T0, T0)
    async with world.database.write() as conn:
        await add_questions(conn, [question])
        asked = await put_off(conn, question, T0 + HOUR)
        assert await due_questions(conn, "shop", T0, 10) == []
        # An envelope arrives: the answer that is on its way may be older.
        await add_questions(conn, [question])
        await settle_question(conn, asked)
        assert await due_questions(conn, "shop", T0 + HOUR, 10) == [question]
