"""Notices by the real process, also when it is killed with a message in hand."""

import json
import signal
import time

from sqlalchemy import exists, select
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ledger.instants import SECOND, Instant
from storage.database import Database
from storage.notices import STATES, list_customer_notices
from storage.schema import meta
from sync.customers import IN_HAND
from tests.fakes.faults import serving
from tests.fakes.smtp import FakeMailServer
from tests.sync.build import HOUR, T0, deliver, order, refund
from tests.sync.test_customers import Shop
from tests.sync.test_server import launched, until


async def test_a_process_that_is_killed_with_a_message_in_hand_never_sends_it_again(
    database: Database, database_url: str
) -> None:
    mail, got = FakeMailServer(), list[str]()

    async def chat(scope: Scope, receive: Receive, send: Send) -> None:
        got.append(json.loads(await Request(scope, receive).body())["text"])
        await Response(b"ok")(scope, receive, send)

    now: Instant = time.time_ns() // 1000
    in_one_hour = (now - T0) / HOUR + 1
    with mail.serving() as port, serving(chat) as address:
        settings = {
            "customer_notice__smtp_host": "127.0.0.1",
            "customer_notice__smtp_port": str(port),
            "customer_notice__smtp_security": "none",
            "customer_notice__sender": "refunds@example.com",
            "notices__chat__kind": "slack",
            "notices__chat__url": address,
        }
        first = await launched(database_url, **settings)
        mail.taken = lambda: first.send_signal(signal.SIGKILL)
        await until(lambda: _switched_on(database))
        await deliver(database, order(hours=in_one_hour, CustomerEmail="ann@example.org"), refund(hours=in_one_hour))
        assert await first.wait() == -signal.SIGKILL
        await first.communicate()
        assert await _states(database) == ["sending"]

        mail.taken = lambda: None
        second = await launched(database_url, **settings)
        await deliver(database, order(2, hours=in_one_hour, CustomerEmail="bob@example.org"))
        await deliver(database, refund(2, hours=in_one_hour, payment="pi_2"))
        await deliver(database, refund(3, hours=in_one_hour - 48, payment="pi_3"))  # that has waited long enough
        try:
            await until(lambda: _are(database, ["sending", "sent"]))
            await until(lambda: _came(got))
        finally:
            second.terminate()
            await second.communicate()
        shop = Shop(database, mail, port, now + IN_HAND + 60 * SECOND)
        await shop.send()
        assert sorted(await _states(database)) == ["sent", "unknown"]
    assert [to for to, _ in shop.sent()] == ["ann@example.org", "bob@example.org"]
    assert got[0].startswith("Refund Ledger, exceptions: 1 new\n• new: order_unknown. ")


async def _states(database: Database) -> list[str]:
    async with database.read() as conn:
        return sorted(line.state for line in await list_customer_notices(conn, STATES, 10))


async def _are(database: Database, states: list[str]) -> bool:
    return await _states(database) == states


async def _came(messages: list[str]) -> bool:
    return bool(messages)


async def _switched_on(database: Database) -> bool:
    async with database.read() as conn:
        return bool(await conn.scalar(select(exists().where(meta.c.key == "customer_notices_since"))))
