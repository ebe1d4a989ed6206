"""Asking Authorize.net: its lists, its details, a month of it."""

from typing import Any

import pytest
from msgspec.structs import replace

from ledger.facts import DisputeFact, PaymentFact
from ledger.instants import DAY, Instant
from sources import authorizenet_api
from sources.authorizenet import AuthorizeNet
from sources.authorizenet_api import AuthorizeNetPoller
from sources.polling import HOUR, ApiFailed, Listed
from tests.fakes.authorizenet import FakeAuthorizeNet
from tests.fakes.faults import answer
from tests.sources.authorizenet.asking import T0, Reader


async def listed(poller: AuthorizeNetPoller, since: Instant, until: Instant) -> list[Listed]:
    return [one async for page in poller.listed(since, until) for one in page]


# The lists -----------------------------------------------------------------------------------------------------------


async def test_a_refund_is_found_in_the_unsettled_list_with_its_payment_and_its_order(
    fake: FakeAuthorizeNet, reader: Reader
) -> None:
    sale = fake.sell("98.10", "104233")
    refund = fake.refund(sale, "25.50", "104233")

    await reader.walk(T0 - DAY, T0)

    [found] = reader.returned().values()
    assert (found.refund.id, found.refund.status, found.refund.amount) == (refund, "pending", 2550)
    assert found.payment
    assert (found.payment.ids, found.order_refs) == ((sale,), ("104233",))
    assert reader.questions == [f"refund:{refund}", f"payment:{sale}"]


async def test_the_payment_of_a_refund_tells_the_order_where_the_refund_does_not(
    fake: FakeAuthorizeNet, reader: Reader
) -> None:
    fake.refund(fake.sell("98.10", "104233"), "25.50")
    await reader.walk(T0 - DAY, T0)
    await reader.ask()

    [found] = reader.returned().values()
    assert found.payment
    assert (found.payment.order_refs, found.payment.captured) == (("104233",), 9810)


async def test_a_refund_has_succeeded_once_it_settled_and_failed_where_it_could_not(
    fake: FakeAuthorizeNet, reader: Reader
) -> None:
    sale = fake.sell("98.10")
    good, bad = fake.refund(sale, "10"), fake.refund(sale, "20")
    await reader.walk(T0 - DAY, T0)
    fake.unfit_for_settlement.add(bad)
    fake.now += DAY
    fake.settle()
    await reader.walk(T0, fake.now)

    assert {i: r.refund.status for i, r in reader.returned().items()} == {good: "succeeded", bad: "failed"}


async def test_a_payment_that_no_webhook_told_of_is_learned_when_it_settles(
    fake: FakeAuthorizeNet, reader: Reader
) -> None:
    sale = fake.sell("98.10", "104233")
    fake.settle()
    [message] = await reader.walk(T0 - DAY, T0)

    assert reader.facts == [PaymentFact("anet", (sale,), T0, "USD", captured=9810, order_refs=("104233",))]
    assert b"Ellen" not in message.body
    assert fake.faults.requests == ["POST /xml/v1/request.api"] * 3


async def test_a_webhook_and_a_list_tell_the_same_of_a_payment(fake: FakeAuthorizeNet, reader: Reader) -> None:
    fake.sell("98.10", "104233")
    fake.settle()
    reader.deliver(fake.notifications[0], T0)
    await reader.walk(T0 - DAY, T0)

    told, seen = reader.facts
    assert isinstance(told, PaymentFact)
    assert isinstance(seen, PaymentFact)
    assert replace(told, as_of=seen.as_of) == seen


async def test_what_the_lists_told_and_what_is_stored_is_not_fetched_again(
    fake: FakeAuthorizeNet, reader: Reader
) -> None:
    fake.refund(fake.sell("98.10"), "25.50")
    assert [len(await reader.walk(T0 - DAY, T0)) for _ in range(2)] == [1, 0]


async def test_what_was_not_stored_is_fetched_again(fake: FakeAuthorizeNet, reader: Reader) -> None:
    fake.refund(fake.sell("98.10"), "25.50")
    unsettled = reader.poller.feeds()[0]
    # Whoever stops here has stored nothing.
    async for fetched in unsettled.fetch(T0 - DAY, T0):
        assert fetched.messages
        break

    assert len(await reader.walk(T0 - DAY, T0)) == 1


async def test_what_has_no_details_yet_is_fetched_the_next_time(fake: FakeAuthorizeNet, reader: Reader) -> None:
    fake.refund(fake.sell("98.10"), "25.50")
    missing = b'{"messages":{"resultCode":"Error","message":[{"code":"E00040","text":"not found"}]}}'
    fake.faults.then(None, answer(200, missing))
    assert await reader.walk(T0 - DAY, T0) == []

    assert len(await reader.walk(T0 - DAY, T0)) == 1


async def test_what_the_lists_told_is_not_remembered_without_end(
    fake: FakeAuthorizeNet, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.refund(fake.sell("98.10"), "25.50")
    await reader.walk(T0 - DAY, T0)
    monkeypatch.setattr(authorizenet_api, "TOLD_MAX", 0)

    assert len(await reader.walk(T0 - DAY, T0)) == 1


async def test_the_same_state_fetched_by_two_processes_is_one_event(
    fake: FakeAuthorizeNet, anet: AuthorizeNet, reader: Reader
) -> None:
    fake.refund(fake.sell("98.10"), "25.50")
    first = await reader.walk(T0 - DAY, T0)
    reader.poller = anet.poller()
    second = await reader.walk(T0 - DAY, T0)
    await reader.poller.close()

    assert [m.key for m in first] == [m.key for m in second]


async def test_lists_are_read_to_the_end_page_by_page(
    fake: FakeAuthorizeNet, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authorizenet_api, "PAGE", 2)
    sales = [fake.sell("10") for _ in range(5)]
    fake.settle()
    refunds = [fake.refund(sale, "5") for sale in sales]
    await reader.walk(T0 - DAY, T0)

    assert list(reader.returned()) == refunds
    assert {i for f in reader.facts if isinstance(f, PaymentFact) for i in f.ids} == set(sales)


async def test_a_list_without_an_end_is_given_up(
    fake: FakeAuthorizeNet, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authorizenet_api, "PAGE", 0)
    monkeypatch.setattr(authorizenet_api, "PAGES_MAX", 3)
    with pytest.raises(ApiFailed, match="no end"):
        await reader.walk(T0 - DAY, T0)


async def test_no_window_is_longer_than_the_gateway_allows(fake: FakeAuthorizeNet, poller: AuthorizeNetPoller) -> None:
    settled = poller.feeds()[1]
    assert [f async for f in settled.fetch(T0 - settled.window + 1, T0 + 1)] == []
    with pytest.raises(ApiFailed, match="E00013"):
        [f async for f in settled.fetch(T0 - 32 * DAY, T0)]


# Voids, chargebacks, credits -----------------------------------------------------------------------------------------


async def test_a_void_of_a_captured_payment_returns_it_and_a_void_of_an_authorisation_nothing(
    fake: FakeAuthorizeNet, reader: Reader
) -> None:
    captured, authorised = fake.sell("98.10"), fake.sell("50", capture=False)
    fake.void(captured)
    fake.void(authorised)
    await reader.walk(T0 - DAY, T0)

    assert {i: (r.refund.kind, r.refund.returned) for i, r in reader.returned().items()} == {captured: ("void", 9810)}


async def test_the_void_of_a_refund_cancels_it_by_webhook_and_by_list(fake: FakeAuthorizeNet, reader: Reader) -> None:
    sale = fake.sell("98.10")
    refund = fake.refund(sale, "25.50")
    fake.now += HOUR
    fake.void(refund)
    for body in fake.notifications:
        reader.deliver(body, fake.now)
    assert reader.returned()[refund].refund.status == "canceled"

    by_list = Reader(reader.anet, reader.poller)
    await by_list.walk(T0 - DAY, fake.now)
    assert by_list.returned()[refund].refund.status == "canceled"


async def test_an_unlinked_credit_stays_visible(fake: FakeAuthorizeNet, reader: Reader) -> None:
    credit = fake.refund(None, "25.50")
    await reader.walk(T0 - DAY, T0)

    assert reader.returned()[credit].payment is None
    assert reader.returned()[credit].refund.amount == 2550


async def test_chargebacks_and_their_reversals_are_found_though_no_webhook_tells(
    fake: FakeAuthorizeNet, reader: Reader
) -> None:
    lost, won = fake.sell("98.10"), fake.sell("50")
    fake.settle()
    fake.charge_back(lost)
    fake.charge_back(won)
    await reader.walk(T0 - DAY, T0)
    assert {i: r.refund.status for i, r in reader.returned().items()} == {lost: "succeeded", won: "succeeded"}

    fake.now += DAY
    fake.give_back(won)
    await reader.ask()
    assert {i: r.refund.status for i, r in reader.returned().items()} == {lost: "succeeded", won: "reversed"}


async def test_a_chargeback_after_a_refund_is_found_by_asking_about_the_payment(
    fake: FakeAuthorizeNet, reader: Reader
) -> None:
    sale = fake.sell("98.10")
    fake.refund(sale, "25.50")
    fake.settle()
    fake.now += 60 * DAY
    fake.charge_back(sale)
    _, again = await reader.poller.ask(f"payment:{sale}", 60 * DAY)
    fetched, _ = await reader.poller.ask(f"payment:{sale}", 60 * DAY)
    reader.take(fetched.messages, fetched.as_of)

    assert again is not None
    assert [type(f) for f in reader.facts] == [PaymentFact, DisputeFact]


async def test_an_electronic_check_that_comes_back_takes_the_money(fake: FakeAuthorizeNet, reader: Reader) -> None:
    sale = fake.sell("98.10")
    fake.settle()
    fake.return_item(sale)
    await reader.walk(T0 - DAY, T0)

    assert reader.returned()[sale].refund.kind == "chargeback"


# Webhooks lost -------------------------------------------------------------------------------------------------------


def a_month(fake: FakeAuthorizeNet) -> None:
    """Thirty days of sales, refunds, voids and settlements."""
    for day in range(30):
        sale, small, authorised = fake.sell("98.10", f"A{day}"), fake.sell("10"), fake.sell("5", capture=False)
        fake.now += 2 * HOUR
        fake.void(small if day % 3 else authorised)
        fake.capture(authorised) if day % 3 else None
        fake.settle()
        fake.now += 2 * HOUR
        refund = fake.refund(sale, "25.50", f"A{day}")
        if day % 5 == 0:
            fake.void(refund)
        fake.now += DAY - 4 * HOUR


async def test_a_month_without_webhooks_ends_as_a_month_with_all_of_them(
    fake: FakeAuthorizeNet, anet: AuthorizeNet, reader: Reader
) -> None:
    a_month(fake)
    start = T0 - DAY
    informed = Reader(anet, reader.poller)
    for body in [*fake.notifications[::-1], *fake.notifications]:
        informed.deliver(body, fake.now)
    await informed.ask()
    # A poller of its own, as after a restart: what it told the one it will tell the other.
    reader.poller = anet.poller()
    for since in range(start, fake.now, 10 * DAY):
        await reader.walk(since, since + 10 * DAY)
    await reader.ask()
    await reader.poller.close()

    def told(by: Reader) -> dict[str, tuple[Any, ...]]:
        # The void of a refund names the refund as if it were a payment, which no order does.
        found = {i: (r.refund, r.payment.ids[0] if r.payment else None) for i, r in by.returned().items()}
        return {i: (one.kind, one.status, one.amount, payment) for i, (one, payment) in found.items()}

    assert told(reader) == told(informed)
    assert len(told(reader)) == 30 + 20


# Questions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "age", "again"),
    [
        ("refundPendingSettlement", 0, HOUR),
        ("refundPendingSettlement", 3 * DAY, 6 * HOUR),
        ("refundPendingSettlement", 120 * DAY, None),
        ("FDSPendingReview", 0, HOUR),
        ("settledSuccessfully", 0, DAY),
        ("settledSuccessfully", 60 * DAY, 7 * DAY),
        ("settledSuccessfully", 120 * DAY, None),
        ("chargeback", 0, DAY),
        ("refundSettledSuccessfully", 0, None),
        ("voided", 0, None),
        ("declined", 0, None),
        ("settlementError", 0, None),
    ],
)
async def test_it_is_asked_again_until_it_ended(
    fake: FakeAuthorizeNet, poller: AuthorizeNetPoller, status: str, age: Instant, again: Instant | None
) -> None:
    refund = fake.refund(fake.sell("98.10"), "25.50")
    fake.transactions[refund].status = status

    answered = await poller.ask(f"refund:{refund}", age)

    assert answered.again_after == again
    assert answered.fetched.as_of == T0


async def test_what_is_not_there_yet_is_asked_for_a_day(poller: AuthorizeNetPoller) -> None:
    assert await poller.ask("refund:1", 0) == ((T0, []), HOUR)
    assert await poller.ask("refund:1", DAY) == ((T0, []), None)


@pytest.mark.parametrize("about", ["refund:", "refund:abc", "payment:1 or 1", "refund:" + "1" * 30, "refund:\u0663"])
async def test_what_is_no_transaction_id_is_never_sent(
    fake: FakeAuthorizeNet, poller: AuthorizeNetPoller, about: str
) -> None:
    assert (await poller.ask(about, 0)).fetched.messages == []
    assert fake.faults.requests == []


async def test_the_answer_is_kept_as_it_came_but_for_its_byte_order_mark(
    fake: FakeAuthorizeNet, poller: AuthorizeNetPoller
) -> None:
    refund = fake.refund(fake.sell("98.10"), "25.50")
    [message] = (await poller.ask(f"refund:{refund}", 0)).fetched.messages

    assert message.body.startswith(b'{"transaction":{')
    assert b'"authAmount":25.50,' in message.body


# The gateway's own list ----------------------------------------------------------------------------------------------


async def test_the_gateways_own_list_has_refunds_voids_and_chargebacks(
    fake: FakeAuthorizeNet, poller: AuthorizeNetPoller
) -> None:
    sale, disputed, voided, released = (
        fake.sell("98.10"),
        fake.sell("50"),
        fake.sell("7"),
        fake.sell("6", capture=False),
    )
    fake.void(voided)
    fake.void(released)
    settled = fake.refund(sale, "10")
    fake.settle()
    fake.charge_back(disputed)
    pending, canceled = fake.refund(sale, "20"), fake.refund(sale, "30")
    fake.void(canceled)

    found = {one.id: one for one in await listed(poller, T0 - DAY, T0 + DAY)}

    assert {i: (one.kind, one.status, one.amount) for i, one in found.items()} == {
        settled: ("refund", "succeeded", 1000),
        pending: ("refund", "pending", 2000),
        canceled: ("refund", "canceled", 3000),
        voided: ("void", "succeeded", 700),
        disputed: ("chargeback", "succeeded", 5000),
    }
    assert {(one.currency, one.at) for one in found.values()} == {("USD", T0)}


async def test_a_chargeback_whose_time_is_not_told_is_listed_whenever_it_is_asked(
    fake: FakeAuthorizeNet, poller: AuthorizeNetPoller
) -> None:
    disputed = fake.sell("50")
    fake.settle()
    fake.charge_back(disputed)
    fake.now += 3 * DAY

    assert [one.id for one in await listed(poller, T0 - DAY, fake.now - 1)] == [disputed]


async def test_the_list_covers_refunds_that_settled_after_the_stretch_and_no_others(
    fake: FakeAuthorizeNet, poller: AuthorizeNetPoller
) -> None:
    early = fake.refund(None, "1")
    fake.now += 40 * DAY
    inside = fake.refund(None, "2")
    fake.now += 2 * DAY
    late = fake.refund(None, "3")
    fake.now += DAY
    fake.settle()

    assert [one.id for one in await listed(poller, T0 + DAY, T0 + 41 * DAY)] == [inside]
    assert {one.id for one in await listed(poller, T0, fake.now)} == {early, inside, late}


async def test_a_listed_transaction_that_cannot_be_read_ends_the_comparison(
    fake: FakeAuthorizeNet, poller: AuthorizeNetPoller
) -> None:
    fake.void(fake.sell("98.10"))
    strange = b'{"messages":{"resultCode":"Ok"},"transaction":{"transId":"1","transactionStatus":"strange"}}'
    nameless = strange.replace(b'"1"', b"[]").replace(b"strange", b"voided")
    for body, reason in ((strange, "transactionStatus is not known"), (nameless, "transId")):
        fake.faults.then(None, answer(200, body))
        with pytest.raises(ApiFailed, match=reason):
            await listed(poller, T0 - DAY, T0 + DAY)
    fake.faults.then(answer(200, b'{"messages":{"resultCode":"Ok"},"transactions":[{"transId":"1"}]}'))
    with pytest.raises(ApiFailed, match="no id or no status"):
        await listed(poller, T0 - DAY, T0 + DAY)
