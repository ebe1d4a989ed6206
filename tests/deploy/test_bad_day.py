"""A bad day of the real processes, as Prometheus, every panel and the people on call see it."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
import pytest_asyncio

from ledger.instants import SECOND
from storage.database import open_database
from tests.deploy.rules import alerts, program
from tests.deploy.test_boards import BOARDS
from tests.deploy.watch import Watch, watching
from tests.e2e.house import ROLES, House
from tests.e2e.messages import event, order, refund
from tests.e2e.test_day import deliver, paid
from tests.fakes.stripe import KEY, FakeStripe

pytestmark = pytest.mark.asyncio(loop_scope="module")

ON_CALL = {"RefundFailedAfterRecorded", "RefundExceedsCapture", "RefundAgreementBurningFast"}
OFFICE = {
    "RefundsUnmatchedTooLong",
    "RefundAmountMismatch",
    "CancelledNotRefunded",
    "RefundOrderUnknown",
    "WebhookEndpointWrong",
    "DeadLetters",
}


class Scene(NamedTuple):
    """The processes, and those who watch them."""

    house: House
    watch: Watch


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """The day is over: all of it came after Prometheus had seen the processes idle."""
    folder = tmp_path_factory.mktemp("house")
    url = f"sqlite:///{folder}/ledger.db"
    stripe = FakeStripe(time.time_ns() // 1000, livemode=True)
    built = House(folder, url)
    with stripe.serving() as address:
        polled = f'[sources.stripe]\napi_key = "{KEY}"\napi_base = "{address}"\npoll_interval = "1s"\n'
        built.toml.write_text(built.toml.read_text().replace("[sources.stripe]\n", polled))
        settings = built.configuration.settings
        binds = dict(zip(ROLES, (settings.public_bind, settings.sync_bind, settings.console_bind), strict=True))
        jobs = {f"refund-ledger-{role}": str(bind) for role, bind in binds.items()}
        try:
            await built.start(*ROLES)
            async with watching(tmp_path_factory.mktemp("watch"), jobs) as watch, open_database(url, "cli") as database:
                built.database = database
                await bad_day(built, watch, stripe)
                yield Scene(built, watch)
        finally:
            await built.close()


async def bad_day(built: House, watch: Watch, stripe: FakeStripe) -> None:
    """First a webhook that never comes, then the day, then one refund more: it rises what the day began."""
    await watch.until_query('count(up{job=~"refund-ledger-.+"} == 1) == 3')
    await watch.until_query("refund_ledger_poll_deadline_timestamp_seconds")
    now = time.time_ns() // 1000
    stripe.now = now - 120 * SECOND  # its newest minute is not looked at yet
    stripe.refund(stripe.pay(50_00), 10_00)
    stripe.now = now
    await watch.until_query("refund_ledger_recovered_events_total > 0")
    await deliver(built)
    await built.settled()
    await watch.until_query('refund_ledger_refund_lag_seconds_count{first="gateway"} > 0')
    await built.tell(
        *paid(901),
        event("901", "refund.created", refund("901", 901, 5_00, 2), 2),
        order(901, 3, "PartiallyRefunded", refunded=5_00),
    )
    # Read in the background, and the rarer the busier the machine.
    await watch.until_query("refund_ledger_dead_letters > 0")
    await watch.until_query('increase(refund_ledger_refund_lag_seconds_count{first="gateway"}[5m]) > 0')


async def test_every_panel_of_every_board_has_data(scene: Scene) -> None:
    fill = {"$__rate_interval": "5m", "$__range": "5m", "$source": ".*", "$currency": ".*"}
    empty = []
    for name, board in BOARDS.items():
        for panel in board["panels"]:
            for query in panel.get("targets", []):
                expr = query["expr"]
                for variable, value in fill.items():
                    expr = expr.replace(variable, value)
                assert "$" not in expr
                if not any(map(math.isfinite, await scene.watch.query(expr))):
                    empty.append((name, panel["title"], expr))
    assert empty == []


async def test_the_alerts_of_the_day_arrive_with_their_numbers_and_their_pages(scene: Scene) -> None:
    told = scene.watch.told
    await scene.watch.until("all told", lambda: told["on-call"].keys() >= ON_CALL and told["office"].keys() >= OFFICE)
    assert set(told["on-call"]) | set(told["office"]) <= alerts().keys()
    for name in ON_CALL | OFFICE:
        alert = told["on-call" if name in ON_CALL else "office"][name]
        assert alert["annotations"]["runbook_url"].endswith(f"/{name}.md")
        assert "error" not in alert["annotations"]["summary"]
        assert not alert["labels"].keys() & {"grafana", "console", "runbooks"}
    summary = "1 of stripe: refunds recorded on the order, and failed at the gateway"
    failed = told["on-call"]["RefundFailedAfterRecorded"]["annotations"]
    assert failed["summary"] == f"{summary}. refund_failed over all sources: 58.40 GBP"


@pytest.mark.parametrize("role", ROLES)
async def test_promtool_has_nothing_to_say_about_the_metrics_of(scene: Scene, role: str) -> None:
    told = await scene.house._clients[role].get("/metrics")
    pipe = asyncio.subprocess.PIPE
    command = (program("promtool"), "check", "metrics")
    checking = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    said = await checking.communicate(told.content)
    assert (checking.returncode, *said) == (0, b"", b"")


async def test_a_process_that_ends_is_told_at_once_and_again_when_it_is_back(scene: Scene) -> None:
    await scene.house.stop("console")
    told = scene.watch.told["on-call"]
    await scene.watch.until("told", lambda: "ProcessDown" in told)
    assert told["ProcessDown"]["labels"]["job"] == "refund-ledger-console"
    await scene.house.start("console")
    await scene.watch.until("over", lambda: told["ProcessDown"]["status"] == "resolved")
