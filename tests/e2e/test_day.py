"""A mixed day, in disorder and with duplicates, through every process: ledger, metrics, replay, export."""

import asyncio
import csv
import io
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.house import PAUSE_SECONDS, TRIES, House, house, line, proof, source_of
from tests.e2e.messages import HOUR, T0, charge, event, order, refund

pytestmark = pytest.mark.asyncio(loop_scope="module")

RECENT = 20 * 24 - 10
"""Ten hours ago: within the grace period."""


def agreed() -> list[bytes]:
    """Either side first, in one or in several, with an amount and without."""
    return [
        *paid(101),
        event("101", "refund.created", refund("101", 101, 100_00, 2), 2),
        order(101, 3, "Refunded", refunded=100_00),
        *paid(102),
        order(102, 2, "PartiallyRefunded", refunded=8_50),
        event("102", "refund.created", refund("102", 102, 8_50, 5), 5),
        *paid(103),
        event("103a", "refund.created", refund("103a", 103, 60_00, 2), 2),
        event("103b", "refund.created", refund("103b", 103, 40_00, 4), 4),
        order(103, 6, "Refunded", refunded=100_00),
        *paid(104),
        event("104", "refund.created", refund("104", 104, 30_00, 2), 2),
        order(104, 3, "PartiallyRefunded"),
        order(105, 1, currency="JPY", total=12_400),
        event("105", "refund.created", refund("105", 105, 3_100, 2, currency="jpy"), 2),
        order(105, 3, "PartiallyRefunded", refunded=3_100, currency="JPY", total=12_400),
    ]


def disagreed() -> list[bytes]:
    """One side only, or two that differ."""
    return [
        *paid(201),
        event("201", "refund.created", refund("201", 201, 25_00, 2), 2),
        *paid(202),
        order(202, 2, "PartiallyRefunded", refunded=15_00),
        *paid(203),
        event("203", "refund.created", refund("203", 203, 12_50, 2), 2),
        order(203, 3, "PartiallyRefunded", refunded=15_00),
        order(204, 1, currency="EUR"),
        event("204", "refund.created", refund("204", 204, 44_70, 2), 2),
        order(204, 3, "PartiallyRefunded", refunded=52_00, currency="EUR"),
        event("205", "refund.created", refund("205", 205, 66_00, 2), 2),
        *paid(206),
        order(2060, 1, CaptureTransactionId="pi_206"),
        event("206", "refund.created", refund("206", 206, 20_00, 2), 2),
    ]


def gone_wrong() -> list[bytes]:
    """What failed later, happened twice, was assumed, or came from the cardholder's bank."""
    failing, unrecorded = refund("301", 301, 58_40, 2), refund("302", 302, 27_60, 2)
    taken = {"id": "txn_305", "object": "balance_transaction", "amount": -100_00, "created": T0 + 5 * HOUR,
             "currency": "gbp"}  # fmt: skip
    given_back = taken | {"id": "txn_306", "amount": 100_00, "created": T0 + 99 * HOUR}
    return [
        *paid(301),
        event("301a", "refund.created", failing, 2),
        order(301, 3, "PartiallyRefunded", refunded=58_40),
        event("301b", "refund.failed", failing | {"status": "failed"}, 80),
        *paid(302),
        event("302a", "refund.created", unrecorded | {"status": "pending"}, 2),
        event("302b", "refund.failed", unrecorded | {"status": "failed"}, 70),
        *paid(303),
        event("303a", "refund.created", refund("303a", 303, 100_00, 2), 2),
        event("303b", "refund.created", refund("303b", 303, 100_00, 4), 4),
        order(303, 5, "Refunded", refunded=100_00),
        *paid(304),
        order(304, 5, OrderStatus="Cancelled"),
        *paid(305),
        event("305", "charge.dispute.funds_withdrawn", dispute(305, taken), 5),
        *paid(306),
        event("306a", "charge.dispute.funds_withdrawn", dispute(306, taken), 5),
        event("306b", "charge.dispute.funds_reinstated", dispute(306, taken, given_back), 99),
    ]


def waiting() -> list[bytes]:
    """What has time left."""
    return [
        *paid(401),
        event("401", "refund.created", refund("401", 401, 43_20, RECENT), RECENT),
        *paid(402),
        event("402", "refund.created", refund("402", 402, 9_99, RECENT, "pending"), RECENT),
        order(402, RECENT + 1, "PartiallyRefunded", refunded=9_99),
    ]


def no_refund() -> list[bytes]:
    """Nothing of this may open an entry."""
    on_account: dict[str, Any] = {"PaymentMethodSystemName": "Payments.PurchaseOrder", "CaptureTransactionId": None}
    released = {"object": "payment_intent", "id": "pi_502", "amount": 100_00, "amount_received": 0, "currency": "gbp",
                "latest_charge": "ch_502", "metadata": {}, "status": "canceled"}  # fmt: skip
    return [
        order(501, 1, "Pending", **on_account),
        order(501, 2, "Pending", OrderStatus="Cancelled", **on_account),
        order(502, 1, "Authorized"),
        event("502", "payment_intent.canceled", released, 2),
        order(502, 3, "Voided", OrderStatus="Cancelled"),
        *paid(503),
    ]


def paid(number: int) -> list[bytes]:
    return [
        order(number, 1),
        event(f"{number}paid", "charge.succeeded", charge(number, 100_00), 1),
    ]


def dispute(number: int, *movements: dict[str, Any]) -> dict[str, Any]:
    return {
        "object": "dispute",
        "id": f"du_{number}",
        "amount": 100_00,
        "balance_transactions": list(movements),
        "charge": f"ch_{number}",
        "created": T0 + 5 * HOUR,
        "currency": "gbp",
        "payment_intent": f"pi_{number}",
        "reason": "fraudulent",
        "status": "needs_response",
    }


DAY = [*agreed(), *disagreed(), *gone_wrong(), *waiting(), *no_refund()]
TWICE = DAY[::3]
ABOUT = dict.fromkeys(DAY, "accepted") | {
    event("test", "refund.created", refund("test", 601, 1_00, 2), 2, livemode=False): "ignored",
    event("customer", "customer.created", {"id": "cus_1", "object": "customer"}, 2): "ignored",
    b'{"api_version": "this is not JSON': "malformed",
}

BOTH = "re_103a succeeded 60.00 GBP 2h + re_103b succeeded 40.00 GBP 4h"
EXPECTED = [
    "matched 101 | re_101 succeeded 100.00 GBP 2h | 100.00 GBP 3h | 100.00-100.00=0.00 lag 3600",
    "matched 102 | re_102 succeeded 8.50 GBP 5h | 8.50 GBP 2h | 8.50-8.50=0.00 lag 10800",
    f"matched 103 | {BOTH} | 100.00 GBP 6h | 100.00-100.00=0.00 lag 14400",
    "matched unverified 104 | re_104 succeeded 30.00 GBP 2h | ? GBP 3h | made 30.00 lag 3600",
    "matched 105 | re_105 succeeded 3100 JPY 2h | 3100 JPY 3h | 3100-3100=0 lag 3600",
    "unmatched missing_in_storefront 201 | re_201 succeeded 25.00 GBP 2h | made 25.00",
    "unmatched missing_in_gateway 202 | 15.00 GBP 2h | recorded 15.00",
    "unmatched amount_mismatch 203 | re_203 succeeded 12.50 GBP 2h | 15.00 GBP 3h | 12.50-15.00=-2.50",
    "unmatched currency_mismatch 204 | re_204 succeeded 44.70 GBP 2h | 52.00 EUR 3h | made 44.70 recorded 52.00",
    "unmatched order_unknown | re_205 succeeded 66.00 GBP 2h | made 66.00",
    "unmatched order_ambiguous | re_206 succeeded 20.00 GBP 2h | made 20.00",
    "unmatched refund_failed 301 | re_301 failed 58.40 GBP 2h | 58.40 GBP 3h | 0.00-58.40=-58.40",
    "closed 302 | re_302 failed 27.60 GBP 2h | made 0.00",
    "matched 303 | re_303b succeeded 100.00 GBP 4h | 100.00 GBP 5h | 100.00-100.00=0.00 lag 3600",
    "unmatched over_refunded 303 | re_303a succeeded 100.00 GBP 2h | made 100.00",
    "unmatched cancelled_not_refunded 304 | expected 100.00",
    "unmatched missing_in_storefront 305 | du_305 chargeback succeeded 100.00 GBP 5h | made 100.00",
    "closed 306 | du_306 chargeback reversed 100.00 GBP 5h | made 0.00",
    f"pending 401 | re_401 succeeded 43.20 GBP {RECENT}h | made 43.20",
    f"pending 402 | re_402 pending 9.99 GBP {RECENT}h | 9.99 GBP {RECENT + 1}h | 9.99-9.99=0.00",
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def day(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """The day has come to the listener; sync begins when all of it is there, so that each entry is made once."""
    async with house(tmp_path_factory.mktemp("day"), module_url, "listener", "console") as built:
        await deliver(built)
        await built.start("sync")
        await built.settled()
        yield built


async def deliver(built: House) -> None:
    """All of it in disorder, some twice; and what is refused at the door."""
    arriving = [*ABOUT, *TWICE]
    random.Random(11).shuffle(arriving)
    replies = await asyncio.gather(*(built.post(source_of(body), body) for body in arriving))
    assert {reply.status_code for reply in replies} == {200}
    answers = Counter((body, reply.json()["status"]) for body, reply in zip(arriving, replies, strict=True))
    first = {body: "accepted" if outcome == "malformed" else outcome for body, outcome in ABOUT.items()}
    assert answers == Counter(first.items()) + Counter((body, "duplicate") for body in TWICE)
    assert (await built.post("stripe", DAY[1], proof("stripe", b"something else"))).status_code == 401
    assert (await built.post("shop", b" " * (2**20 + 1))).status_code == 413


async def test_the_day_ends_in_the_expected_ledger(day: House) -> None:
    assert sorted(map(line, await day.entries())) == sorted(EXPECTED)
    [ambiguous] = await day.entries(reason="order_ambiguous")
    assert [(s["store"], s["order_id"]) for s in ambiguous["suggestions"]] == [("shop", "206"), ("shop", "2060")]


async def test_the_pages_of_the_ledger_are_the_whole_ledger(day: House) -> None:
    assert await day.entries(limit=3) == await day.entries()


async def test_the_listener_has_counted_every_delivery(day: House) -> None:
    outcomes: Counter[str] = Counter()
    for body, outcome in [*ABOUT.items(), *((body, "duplicate") for body in TWICE)]:
        outcomes[f"outcome={outcome},source={source_of(body)}"] += 1
    outcomes["outcome=unauthenticated,source=stripe"] += 1
    outcomes["outcome=too_large,source=shop"] += 1
    metrics = await day.metrics("listener")
    counted = {name: value for name, value in metrics.items() if name.startswith("webhooks_total") and value}
    assert counted == {f"webhooks_total{{{labels}}}": count for labels, count in outcomes.items()}
    for source in ("stripe", "shop"):
        told = sum(count for labels, count in outcomes.items() if labels.endswith(source))
        assert metrics[f"webhook_duration_seconds_count{{source={source}}}"] == told


async def test_the_gauges_show_the_ledger(day: House) -> None:
    metrics = await current_gauges(day)
    assert {name: value for name, value in metrics.items() if name.startswith("entries{") and value} == {
        "entries{reason=,source=stripe,status=matched}": 6,
        "entries{reason=,source=stripe,status=closed}": 2,
        "entries{reason=,source=stripe,status=pending}": 2,
        "entries{reason=amount_mismatch,source=stripe,status=unmatched}": 1,
        "entries{reason=cancelled_not_refunded,source=shop,status=unmatched}": 1,
        "entries{reason=currency_mismatch,source=stripe,status=unmatched}": 1,
        "entries{reason=missing_in_gateway,source=shop,status=unmatched}": 1,
        "entries{reason=missing_in_storefront,source=stripe,status=unmatched}": 2,
        "entries{reason=order_ambiguous,source=stripe,status=unmatched}": 1,
        "entries{reason=order_unknown,source=stripe,status=unmatched}": 1,
        "entries{reason=over_refunded,source=stripe,status=unmatched}": 1,
        "entries{reason=refund_failed,source=stripe,status=unmatched}": 1,
    }
    assert {name: value for name, value in metrics.items() if name.startswith("unmatched_") and value} == {
        "unmatched_refunds{reason=amount_mismatch,source=stripe}": 1,
        "unmatched_refunds{reason=cancelled_not_refunded,source=shop}": 1,
        "unmatched_refunds{reason=currency_mismatch,source=stripe}": 1,
        "unmatched_refunds{reason=missing_in_gateway,source=shop}": 1,
        "unmatched_refunds{reason=missing_in_storefront,source=stripe}": 2,
        "unmatched_refunds{reason=order_ambiguous,source=stripe}": 1,
        "unmatched_refunds{reason=order_unknown,source=stripe}": 1,
        "unmatched_refunds{reason=over_refunded,source=stripe}": 1,
        "unmatched_refunds{reason=refund_failed,source=stripe}": 1,
        "unmatched_amount{currency=GBP,reason=amount_mismatch}": 2.5,
        "unmatched_amount{currency=GBP,reason=cancelled_not_refunded}": 100,
        "unmatched_amount{currency=GBP,reason=currency_mismatch}": 44.7,
        "unmatched_amount{currency=GBP,reason=missing_in_gateway}": 15,
        "unmatched_amount{currency=GBP,reason=missing_in_storefront}": 125,
        "unmatched_amount{currency=GBP,reason=order_ambiguous}": 20,
        "unmatched_amount{currency=GBP,reason=order_unknown}": 66,
        "unmatched_amount{currency=GBP,reason=over_refunded}": 100,
        "unmatched_amount{currency=GBP,reason=refund_failed}": 58.4,
    }
    assert metrics["unverified_entries{source=stripe}"] == 1
    oldest = "oldest_unmatched_timestamp_seconds"
    assert metrics[f"{oldest}{{reason=missing_in_storefront,source=stripe}}"] == T0 + 2 * HOUR
    assert metrics[f"{oldest}{{reason=cancelled_not_refunded,source=shop}}"] == T0 + 5 * HOUR
    assert (metrics["journal_backlog_events"], metrics["dead_letters"]) == (0, 1)


async def test_lags_and_times_are_measured(day: House) -> None:
    metrics = await current_gauges(day)
    sums = ("refund_lag_seconds_count", "refund_lag_seconds_sum")
    lags = {name: value for name, value in metrics.items() if name.startswith(sums)}
    assert lags == {
        "refund_lag_seconds_count{first=gateway,source=stripe}": 5,
        "refund_lag_seconds_sum{first=gateway,source=stripe}": (1 + 4 + 1 + 1 + 1) * HOUR,
        "refund_lag_seconds_count{first=storefront,source=stripe}": 1,
        "refund_lag_seconds_sum{first=storefront,source=stripe}": 3 * HOUR,
    }
    assert metrics["event_to_entry_seconds_count"] == len(DAY)
    times = [metrics[f"source_last_event_timestamp_seconds{{source={source}}}"] for source in ("stripe", "shop")]
    assert all(T0 + 20 * 24 * HOUR <= at <= metrics["sync_last_success_timestamp_seconds"] for at in times)


async def current_gauges(built: House) -> dict[str, float]:
    """The metrics of sync, once the gauges, which are read in the background, show all entries."""
    entries = len(await built.entries())
    for _ in range(TRIES):
        metrics = await built.metrics("sync")
        shown = sum(value for name, value in metrics.items() if name.startswith("entries{"))
        if shown == entries and metrics["journal_backlog_events"] == 0:
            return metrics
        await asyncio.sleep(PAUSE_SECONDS)
    raise AssertionError("the gauges do not show the ledger")


async def test_the_summary_agrees_with_the_entries(day: House) -> None:
    summary = await day.get("summary")
    assert sum(group["count"] for group in summary["entries"]) == len(EXPECTED)
    assert (summary["open"], summary["journal_backlog_events"], summary["dead_letters"]) == (12, 0, 1)


@pytest.mark.parametrize("arguments", [(), ("--from-bodies",)])
async def test_replay_finds_no_difference(day: House, arguments: tuple[str, ...]) -> None:
    status, printed, said = await day.run("replay", "--json", *arguments)
    assert status == 0, said
    none = {"cut": 0, "reinterpreted": 0, "waiting": 0, "applied": False, "differences": []}
    report = {"compared": len(EXPECTED)} | none
    assert json.loads(printed) == report


async def test_the_export_has_the_entries(day: House) -> None:
    rows = list(csv.DictReader(io.StringIO(await day.get("export.csv"))))
    entries = await day.entries()
    assert [row["id"] for row in rows] == [entry["id"] for entry in entries]
    for row, entry in zip(rows, entries, strict=True):
        plain = {name: entry[name] for name in row if isinstance(entry.get(name), str)}
        assert plain == {name: row[name] for name in plain}
        made = [f"{r['source']}/{r['id']}" for r in entry["gateway_refunds"] or ()]
        assert (row["gateway_refunds"], row["lag_seconds"]) == (
            " ".join(made),
            "" if entry["lag_seconds"] is None else str(entry["lag_seconds"]),
        )


async def test_the_event_that_could_not_be_understood_is_listed(day: House) -> None:
    status, printed, _ = await day.run("dead-letters", "list", "--json")
    [letter] = json.loads(printed)["dead_letters"]
    assert (status, letter["source"], letter["reason"]) == (0, "stripe", "the body is not JSON")
