"""Customers are told once, when the money has gone back, and never twice."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter
from sqlalchemy import select

from config.notices import CustomerNotice
from ledger.facts import DisputeFact, RefundFact
from ledger.instants import DAY, SECOND, Instant
from sources.base import Source
from sources.infigo import Infigo
from sources.polling import Poller
from storage.database import Database, open_database
from storage.notices import (
    STATES,
    drop_customer_notice,
    due_customer_notices,
    list_customer_notices,
    put_off_customer_notice,
    settle_customer_notice,
    take_in_hand,
)
from storage.schema import customer_notices
from sync import customers
from sync.announce import NoticeRules, notice_rules
from sync.customers import GIVE_UP_AFTER, IN_HAND, NO_ADDRESS, NO_ORDER, CustomerNotices
from sync.supervise import Stop
from sync.work import settle
from tests.fakes.infigo import TOKEN, FakeInfigo
from tests.fakes.smtp import CUT_OFF, FakeMailServer
from tests.sync.build import (
    LATER,
    RULES,
    SOURCES,
    T0,
    at,
    configured,
    decided,
    deliver,
    fact_event,
    ledger,
    order,
    refund,
)
from tests.sync.test_mail import settings

EMAIL = "ann@example.org"


@dataclass
class Shop:
    """A ledger whose customers are told, by a real mail server."""

    database: Database
    server: FakeMailServer
    port: int
    now: Instant = LATER
    sources: dict[str, Source[Any]] = field(default_factory=lambda: dict(SOURCES))
    counted: Counter = field(default_factory=lambda: Counter("n", "n", ("outcome",), registry=CollectorRegistry()))

    def notice(self, **more: object) -> CustomerNotice:
        return settings(self.port, **more)

    async def work(self, since: Instant = 0, **more: object) -> None:
        """Pair what arrived, and send what is due."""
        rules = NoticeRules((), self.notice(**more), since)
        await settle(self.database, self.sources, RULES, lambda: self.now, rules)
        await self.send(**more)

    async def send(self, **more: object) -> None:
        told = CustomerNotices(self.database, self.sources, self.notice(**more), self.counted, lambda: self.now)
        await told.step(Stop())

    async def lines(self) -> list[tuple[str, str, str]]:
        async with self.database.read() as conn:
            found = await list_customer_notices(conn, STATES, 100)
        return sorted((line.refund_id, line.state, line.reason) for line in found)

    def sent(self) -> list[tuple[str, str]]:
        return [(str(m["To"]), str(m["Subject"])) for m in self.server.messages]


@pytest.fixture
def shop(database: Database) -> Iterator[Shop]:
    server = FakeMailServer()
    with server.serving() as port:
        yield Shop(database, server, port)


async def test_a_customer_is_told_once_that_the_money_went_back(shop: Shop) -> None:
    await deliver(shop.database, order(CustomerEmail=EMAIL), refund())
    await shop.work()
    assert shop.sent() == [(EMAIL, "Your refund of 15.00 GBP for order 1001")]
    for n in range(3):
        await deliver(shop.database, refund(key=f"again-{n}"), order(hours=4 + n, CustomerEmail=EMAIL))
        await shop.work()
    assert len(shop.sent()) == 1
    assert await shop.lines() == [("re_1", "sent", "")]
    assert shop.counted.labels("sent")._value.get() == 1


async def test_not_before_the_money_has_gone_back(shop: Shop) -> None:
    await deliver(shop.database, order(CustomerEmail=EMAIL), refund(status="pending"))
    await shop.work()
    assert (shop.sent(), await shop.lines()) == ([], [])
    await deliver(shop.database, refund(status="succeeded", created=int(at(5) // SECOND)))
    await shop.work()
    assert len(shop.sent()) == 1


async def test_nobody_is_told_of_a_refund_that_failed_meanwhile(shop: Shop) -> None:
    await deliver(shop.database, refund())
    await shop.work()
    failed = RefundFact("stripe", "re_1", "refund", "failed", 1500, "GBP", at(2), at(9), ("pi_1",))
    await deliver(shop.database, fact_event(failed), order(CustomerEmail=EMAIL))
    shop.now += DAY
    await shop.work()
    assert (shop.sent(), await shop.lines()) == ([], [])


async def test_voids_and_chargebacks_are_told_only_where_the_shop_wants_it(shop: Shop) -> None:
    void = RefundFact("stripe", "re_void", "void", "succeeded", 700, "GBP", at(2), at(2), ("pi_1",))
    dispute = DisputeFact("stripe", "dp_1", "txn_1", "withdrawn", 800, "GBP", at(2), ("pi_2",))
    told = [order(1, None, CustomerEmail=EMAIL), order(2, None, CustomerEmail=EMAIL)]
    await deliver(shop.database, *told, fact_event(void), fact_event(dispute))
    await shop.work()
    assert (shop.sent(), await shop.lines()) == ([], [])
    more = RefundFact("stripe", "re_void2", "void", "succeeded", 300, "GBP", at(3), at(3), ("pi_1",))
    await deliver(shop.database, fact_event(more))
    await shop.work(kinds=["void", "chargeback"])
    assert len(shop.sent()) == 1  # and not of what was there before it was asked for


async def test_a_gateway_that_tells_its_customers_itself_is_left_out(shop: Shop) -> None:
    await deliver(shop.database, order(CustomerEmail=EMAIL), refund())
    await shop.work(except_sources=["stripe"])
    assert (shop.sent(), await shop.lines()) == ([], [])


async def test_what_was_refunded_before_it_was_switched_on_is_not_told(shop: Shop) -> None:
    await deliver(shop.database, order(CustomerEmail=EMAIL), refund(1, hours=2), refund(2, hours=9))
    await shop.work(since=at(5))
    assert [refund_id for refund_id, *_ in await shop.lines()] == ["re_2"]


async def test_it_waits_for_the_order_and_its_address(shop: Shop) -> None:
    await deliver(shop.database, refund())
    await shop.work()
    assert await shop.lines() == [("re_1", "waiting", NO_ORDER)]
    await deliver(shop.database, order())
    shop.now += DAY
    await shop.work()
    assert await shop.lines() == [("re_1", "waiting", NO_ADDRESS)]
    await deliver(shop.database, order(hours=5, BillingAddress={"Email": EMAIL}))
    shop.now += DAY
    await shop.work()
    assert shop.sent() == [(EMAIL, "Your refund of 15.00 GBP for order 1001")]


async def test_the_newest_address_of_the_order_is_taken_and_never_one_of_another_order(shop: Shop) -> None:
    same = {"CaptureTransactionId": "pi_1"}
    first = order(1, "0.00", hours=1, CustomerEmail="old@example.org", **same)
    newest = order(1, hours=5, CustomerEmail=EMAIL, **same)
    other = order(2, "0.00", hours=6, CustomerEmail="stranger@example.org", **same)
    await deliver(shop.database, newest, first, other, refund())
    await shop.work()
    assert await shop.lines() == [("re_1", "waiting", NO_ORDER)]  # it may be of either
    refunded = next(entry for entry in (await ledger(shop.database)).values() if entry.gateway_refunds)
    await deliver(shop.database, decided("link", refunded, store="shop", order_id="1001"))
    shop.now += DAY
    await shop.work()
    assert [to for to, _ in shop.sent()] == [EMAIL]


async def test_it_is_tried_again_later_and_later(shop: Shop) -> None:
    await deliver(shop.database, refund())
    await shop.work()
    tried = list[Instant]()
    for _ in range(60):
        before = shop.counted.labels("put_off")._value.get()
        shop.now += 60 * SECOND
        await shop.send()
        if shop.counted.labels("put_off")._value.get() > before:
            tried.append((shop.now - LATER) // (60 * SECOND))
    assert tried == [1, 6, 21]


async def test_after_a_week_it_is_given_up(shop: Shop) -> None:
    await deliver(shop.database, refund())
    await shop.work()
    shop.now += GIVE_UP_AFTER + DAY
    await shop.work()
    assert await shop.lines() == [("re_1", "failed", NO_ORDER)]


async def test_the_storefront_is_asked_for_an_address_that_no_event_told(shop: Shop) -> None:
    fake = FakeInfigo(T0)
    fake.place("1001", "100.00", "pi_1")
    fake.orders["1001"]["Customer"] = {"Email": EMAIL}
    await deliver(shop.database, order(), refund())
    with fake.serving() as address:
        asked = configured(SOURCES__SHOP__API_BASE=address, SOURCES__SHOP__API_TOKEN=TOKEN)
        shop.sources = dict(asked.sources)
        fake.missing = "page"
        fake.orders["1002"] = fake.orders.pop("1001")
        await shop.work()
        assert [state for _, state, _ in await shop.lines()] == ["waiting"]
        fake.orders["1001"] = fake.orders.pop("1002")
        shop.now += DAY
        await shop.send()
    assert [to for to, _ in shop.sent()] == [EMAIL]


async def test_the_storefront_is_asked_at_its_own_pace_for_many_addresses(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = list[str]()
    open_api = Infigo.poller

    def counted(source: Infigo) -> Poller:
        opened.append(source.name)  # each has a pace of its own
        return open_api(source)

    monkeypatch.setattr(Infigo, "poller", counted)
    fake = FakeInfigo(T0)
    for number in (1, 2):
        fake.place(f"{1000 + number}", "100.00", f"pi_{number}")
        fake.orders[f"{1000 + number}"]["Customer"] = {"Email": EMAIL}
        await deliver(shop.database, order(number), refund(number, payment=f"pi_{number}"))
    with fake.serving() as address:
        asked = configured(SOURCES__SHOP__API_BASE=address, SOURCES__SHOP__API_TOKEN=TOKEN)
        shop.sources = dict(asked.sources)
        await shop.work()
    assert (len(shop.sent()), opened) == (2, ["shop"])


@pytest.mark.parametrize(("fails", "then"), [("compose", "waiting"), ("send", "unknown")])
async def test_a_fault_of_ours_in_one_message_does_not_stop_the_others(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, fails: str, then: str
) -> None:
    real = getattr(customers, fails)

    def faulty(*given: object) -> object:
        if "1001" in " ".join(map(str, given)):
            raise ZeroDivisionError
        return real(*given)

    monkeypatch.setattr(customers, fails, faulty)
    for number in (1, 2):
        told = [order(number, CustomerEmail=EMAIL), refund(number, payment=f"pi_{number}")]
        await deliver(shop.database, *told)
    await shop.work()
    assert [(refund_id, state) for refund_id, state, _ in await shop.lines()] == [("re_1", then), ("re_2", "sent")]


async def test_what_the_server_refuses_for_now_is_tried_again_and_for_good_set_aside(shop: Shop) -> None:
    shop.server.recipients.extend(["450 later", "550 ann@example.org is unknown here"])
    await deliver(shop.database, order(CustomerEmail=EMAIL), refund())
    await shop.work()
    assert await shop.lines() == [("re_1", "waiting", "the mail server refused the recipient (450)")]
    await shop.send()
    assert len(shop.server.recipients) == 1  # not at once
    shop.now += DAY
    await shop.send()
    assert await shop.lines() == [("re_1", "failed", "the mail server refused the recipient (550)")]
    shop.now += DAY
    await shop.work()
    assert shop.sent() == []


async def test_what_may_have_been_sent_is_not_sent_again(shop: Shop) -> None:
    shop.server.data.append(CUT_OFF)
    await deliver(shop.database, order(CustomerEmail=EMAIL), refund())
    for _ in range(3):
        await shop.work()
        shop.now += DAY
    assert len(shop.sent()) == 1
    [(_, state, reason)] = await shop.lines()
    assert state == "unknown"
    assert reason.startswith("the connection failed while the message was handed over")


async def test_what_was_in_hand_when_the_process_ended_is_not_sent_again(shop: Shop) -> None:
    await deliver(shop.database, order(CustomerEmail=EMAIL), refund())
    in_hand, ended = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    shop.server.taken = lambda: (loop.call_soon_threadsafe(in_hand.set), ended.wait(60))
    task = asyncio.create_task(shop.work())
    await in_hand.wait()
    task.cancel()
    await asyncio.wait([task])
    ended.set()
    assert task.cancelled()
    await shop.send()
    assert await shop.lines() == [("re_1", "sending", "")]
    shop.now += IN_HAND
    await shop.send()
    assert [(state, bool(reason)) for _, state, reason in await shop.lines()] == [("unknown", True)]
    assert len(shop.sent()) == 1


async def test_several_workers_send_each_once(postgres_url: str) -> None:
    server = FakeMailServer()
    async with open_database(postgres_url, "sync") as one, open_database(postgres_url, "sync") as other:
        with server.serving() as port:
            shops = [Shop(database, server, port) for database in (one, other)]
            for number in range(12):
                email = f"customer{number}@example.org"
                await deliver(one, order(number, CustomerEmail=email), refund(number, payment=f"pi_{number}"))
            rules = NoticeRules((), shops[0].notice(), 0)
            await asyncio.gather(*(settle(s.database, SOURCES, RULES, lambda: LATER, rules) for s in shops))
            await asyncio.gather(*(s.send() for s in shops for _ in range(3)))
    assert sorted(to for to, _ in shops[0].sent()) == sorted(f"customer{n}@example.org" for n in range(12))


async def test_a_worker_that_comes_late_changes_nothing_of_what_another_has_in_hand(shop: Shop) -> None:
    await deliver(shop.database, refund())
    await shop.work()
    shop.now += DAY
    async with shop.database.write() as conn:
        [line] = await due_customer_notices(conn, shop.now, 1)
        assert await take_in_hand(conn, line, shop.now, shop.now + IN_HAND)
        assert not await take_in_hand(conn, line, shop.now, shop.now + IN_HAND)
        await put_off_customer_notice(conn, line, shop.now, shop.now, "late")
        await settle_customer_notice(conn, line, "failed", shop.now, reason="late")
        await drop_customer_notice(conn, line)
    assert [state for _, state, _ in await shop.lines()] == ["sending"]


async def test_nothing_personal_is_kept_or_logged(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shop.server.recipients.extend([None, "550 ann@example.org is unknown"])
    await deliver(shop.database, order(CustomerEmail=EMAIL), refund(1, 1000), refund(2, 500))
    await shop.work()
    async with shop.database.read() as conn:
        kept = str([tuple(row) for row in await conn.execute(select(customer_notices))])
    assert "ann" not in kept
    own = [r for r in caplog.records if r.name.startswith(("sync", "aiosmtplib"))]
    assert own
    assert all("ann" not in str(vars(record)) for record in own)


async def test_switched_off_and_on_again_it_begins_anew(shop: Shop) -> None:
    on = configured(CUSTOMER_NOTICE__SMTP_HOST="127.0.0.1", CUSTOMER_NOTICE__SENDER="r@example.com")
    assert (await notice_rules(shop.database, on, at(5))).since == at(5)
    assert (await notice_rules(shop.database, on, at(7))).since == at(5)
    await deliver(shop.database, refund(hours=6), order(2, CustomerEmail=EMAIL), refund(2, hours=6, payment="pi_2"))
    await shop.work(since=at(5))
    assert [state for _, state, _ in await shop.lines()] == ["waiting", "sent"]
    assert (await notice_rules(shop.database, configured(), at(8))).customer is None
    assert [state for _, state, _ in await shop.lines()] == ["sent"]  # and never again
    assert (await notice_rules(shop.database, on, at(9))).since == at(9)


async def test_the_loop_sends_until_it_is_stopped(shop: Shop) -> None:
    await deliver(shop.database, order(CustomerEmail=EMAIL), refund())
    rules = NoticeRules((), shop.notice(), 0)
    await settle(shop.database, SOURCES, RULES, lambda: LATER, rules)
    async with _running(shop) as stop:
        for _ in range(1000):
            if [state for _, state, _ in await shop.lines()] == ["sent"]:
                break
            await asyncio.sleep(0.01)
        stop.set()
    assert len(shop.sent()) == 1


@asynccontextmanager
async def _running(shop: Shop) -> AsyncIterator[Stop]:
    stop = Stop()
    told = CustomerNotices(shop.database, shop.sources, shop.notice(), shop.counted, lambda: LATER)
    task = asyncio.create_task(told.run(stop))
    yield stop
    await task
