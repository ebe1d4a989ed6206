"""What the metrics say is what the database holds, and one process says it."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ledger.instants import SECOND
from storage.database import Database, StorageUnavailable, open_database
from sync import gauges as reading
from sync.gauges import GaugeReader
from sync.metrics import Metrics
from sync.supervise import Stop
from sync.work import Worker
from tests.sync.build import (
    HOUR,
    LATER,
    RULES,
    SOURCES,
    at,
    decided,
    deliver,
    ledger,
    order,
    refund,
    work_off,
)

Samples = dict[str, dict[tuple[str, ...], float]]

LEDGER = {
    "journal_backlog_events": (),
    "dead_letters": (),
    "entries": ("reason", "source", "status"),
    "unverified_entries": ("source",),
    "unmatched_refunds": ("reason", "source"),
    "unmatched_amount": ("currency", "reason"),
    "oldest_unmatched_timestamp_seconds": ("reason", "source"),
    "unconfigured_gateways": ("source",),
    "source_last_event_timestamp_seconds": ("source",),
}
"""The gauges of the ledger, with their labels in alphabetical order."""

OWN = {
    "refund_lag_seconds": ("first", "source"),
    "event_to_entry_seconds": (),
    "sync_last_success_timestamp_seconds": (),
    "judged_refunds": ("outcome",),
    "matched_amount": ("currency",),
}


def exposed(metrics: Metrics) -> Samples:
    """The exposition: by name, then by the values of the labels in alphabetical order of their names."""
    found: Samples = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            values = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name.removeprefix("refund_ledger_"), {})[values] = sample.value
    return found


async def gauges(database: Database) -> Samples:
    """As a process tells them that has just begun."""
    metrics = Metrics()
    await GaugeReader(database, ["stripe", "shop"], metrics).refresh()
    return exposed(metrics)


def by_paypal(number: int) -> dict[str, Any]:
    """What an order says that was paid where nobody listens."""
    return {"PaymentMethodSystemName": "Payments.PayPal", "CaptureTransactionId": f"8AB{number}"}


async def bad_day(database: Database) -> None:
    """Two that do not agree, one of them in yen; one that matches on a status; one set aside; one that waits; and two
    of a gateway that no source is configured for."""
    await deliver(
        database,
        refund(1),
        order(1, refunded="20.00"),
        refund(2, amount=700, currency="jpy", payment="pi_2", hours=5),
        refund(3, payment="pi_3"),
        order(3, refunded=None),
        refund(4, amount=-1),
        *(order(n, **by_paypal(n)) for n in (7, 8)),
    )
    await work_off(database)
    await deliver(database, refund(5, payment="pi_5", hours=7))


async def test_the_gauges_say_what_the_database_holds_right_after_a_start(database: Database) -> None:
    await bad_day(database)
    found = await gauges(database)
    assert found["journal_backlog_events"] == {(): 1}
    assert found["dead_letters"] == {(): 1}
    assert found["entries"] == {
        ("", "stripe", "matched"): 1,
        ("", "shop", "closed"): 2,
        ("amount_mismatch", "stripe", "unmatched"): 1,
        ("order_unknown", "stripe", "unmatched"): 1,
    }
    assert found["unverified_entries"] == {("stripe",): 1}
    assert found["unconfigured_gateways"] == {("shop",): 1}
    assert found["unmatched_refunds"] == {("amount_mismatch", "stripe"): 1, ("order_unknown", "stripe"): 1}
    assert found["unmatched_amount"] == {("GBP", "amount_mismatch"): 5, ("JPY", "order_unknown"): 700}
    assert found["oldest_unmatched_timestamp_seconds"] == {
        ("amount_mismatch", "stripe"): at(2) / SECOND,
        ("order_unknown", "stripe"): at(5) / SECOND,
    }
    assert found["source_last_event_timestamp_seconds"] == {
        ("stripe",): at(7) / SECOND,
        ("shop",): at(3) / SECOND,
    }


async def test_what_is_resolved_is_unmatched_no_more(database: Database) -> None:
    await deliver(database, refund())
    await work_off(database)
    assert (await gauges(database))["unmatched_refunds"] == {("order_unknown", "stripe"): 1}
    [entry] = (await ledger(database)).values()
    await deliver(database, decided("resolve", entry))
    await work_off(database)
    found = await gauges(database)
    assert found["entries"] == {("order_unknown", "stripe", "resolved"): 1}
    assert not found.keys() & {"unmatched_refunds", "unmatched_amount", "oldest_unmatched_timestamp_seconds"}


async def test_names_and_labels_are_those_of_the_contract(database: Database) -> None:
    await bad_day(database)
    metrics = Metrics()
    await Worker(database, SOURCES, RULES, metrics, lambda: LATER).step()
    metrics.paired([], [], LATER)
    await GaugeReader(database, ["stripe", "shop"], metrics).refresh()
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        if family.name.startswith("refund_ledger_"):
            names = {name for sample in family.samples for name in sample.labels if name != "le"}
            labels[family.name.removeprefix("refund_ledger_")] = names
    assert labels.items() >= {name: set(of) for name, of in LEDGER.items()}.items()
    assert labels.keys() >= OWN.keys()


async def test_promtool_has_nothing_to_say(database: Database) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on this machine")
    await bad_day(database)
    metrics = Metrics()
    worker = Worker(database, SOURCES, RULES, metrics, lambda: LATER)
    while await worker.step():
        pass
    await GaugeReader(database, ["stripe", "shop"], metrics).refresh()
    pipe = asyncio.subprocess.PIPE
    checking = await asyncio.create_subprocess_exec(promtool, "check", "metrics", stdin=pipe, stdout=pipe, stderr=pipe)
    said = await checking.communicate(metrics.text())
    assert (checking.returncode, *said) == (0, b"", b"")


async def test_a_match_is_observed_once_with_its_lag_and_the_side_that_came_first(database: Database) -> None:
    metrics = Metrics()
    worker = Worker(database, SOURCES, RULES, metrics, lambda: LATER)
    lags = {("shop_first", 1): (order(1, hours=1), refund(1, hours=4)), ("b", 2): (refund(2, payment="pi_2"), order(2))}
    for events in lags.values():
        await deliver(database, *events)
        while await worker.step():
            pass
    found = exposed(metrics)
    assert found["refund_lag_seconds_count"] == {("storefront", "stripe"): 1, ("gateway", "stripe"): 1}
    assert found["refund_lag_seconds_sum"] == {
        ("storefront", "stripe"): 3 * HOUR / SECOND,
        ("gateway", "stripe"): HOUR / SECOND,
    }
    assert found["event_to_entry_seconds_count"] == {(): 4}
    assert found["sync_last_success_timestamp_seconds"] == {(): LATER / SECOND}


async def test_a_match_that_gets_another_id_is_not_observed_again(database: Database) -> None:
    metrics = Metrics()
    worker = Worker(database, SOURCES, RULES, metrics, lambda: LATER)
    two = [refund(2, hours=2), refund(3, hours=3), order(refunded="30.00", hours=3)]
    for events in (two, [refund(1, hours=2), order(refunded="45.00", hours=4)]):
        await deliver(database, *events)
        while await worker.step():
            pass
    entries = (await ledger(database)).values()
    assert sorted((e.status, [r.id for r in e.gateway_refunds]) for e in entries) == [
        ("matched", ["re_1", "re_2"]),
        ("matched", ["re_3"]),
    ]
    assert sum(exposed(metrics)["refund_lag_seconds_count"].values()) == len(await ledger(database))


async def test_a_refund_is_judged_once_and_its_money_counted_when_it_matches(database: Database) -> None:
    metrics = Metrics()
    worker = Worker(database, SOURCES, RULES, metrics, lambda: LATER)
    assert exposed(metrics)["judged_refunds_total"] == {("matched",): 0, ("unmatched",): 0}
    for events in ([refund()], [order()], [refund(2, amount=700, currency="jpy", payment="pi_2")]):
        await deliver(database, *events)
        while await worker.step():
            pass
    found = exposed(metrics)
    # The first was unmatched before its order came, and stays judged so.
    assert found["judged_refunds_total"] == {("matched",): 0, ("unmatched",): 2}
    assert found["matched_amount_total"] == {("GBP",): 15}


async def test_the_free_space_of_the_disk_is_told_where_the_database_is_a_file(
    database: Database, tmp_path: Path
) -> None:
    metrics = Metrics()
    await GaugeReader(database, [], metrics).refresh()
    assert "storage_free_bytes" not in exposed(metrics)
    await GaugeReader(database, [], metrics, tmp_path).refresh()
    assert exposed(metrics)["storage_free_bytes"][()] > 0


async def test_an_event_is_timed_once_however_much_it_says(database: Database) -> None:
    metrics = Metrics()
    worker = Worker(database, SOURCES, RULES, metrics, lambda: at(2) + 5 * SECOND)
    refunds = [{"id": f"re_{n}", "amount": 100, "currency": "gbp", "status": "succeeded", "created": 1_740_790_000}
               for n in range(3)]  # fmt: skip
    body = json.loads(refund().body)
    body["data"]["object"] |= {"id": "ch_1", "captured": True, "amount_captured": 1500, "refunds": {"data": refunds}}
    charge = refund()._replace(body=json.dumps(body | {"type": "charge.refunded"}).encode())
    await deliver(database, charge)
    await worker.step()
    assert len(await ledger(database)) == 3
    found = exposed(metrics)
    assert (found["event_to_entry_seconds_count"], found["event_to_entry_seconds_sum"]) == ({(): 1}, {(): 5})


async def test_one_of_two_processes_tells_the_ledger_and_the_other_takes_over(postgres_url: str) -> None:
    told: list[Metrics] = [Metrics(), Metrics()]
    async with open_database(postgres_url, "sync") as second:
        async with open_database(postgres_url, "sync") as first:
            readers = [GaugeReader(db, ["stripe"], m) for db, m in zip((first, second), told, strict=True)]
            for reader in (*readers, *readers):
                await reader.refresh()
            assert ["entries" in m.text().decode() for m in told] == [True, False]
        await readers[1].refresh()
        assert told[1].ledger.state is not None


async def test_who_leads_no_more_tells_nothing_more_however_rarely_the_ledger_is_read(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "REFRESH_SECONDS", 0.01)
    monkeypatch.setattr(reading, "SHARE_MAX", 1e-9)  # a read that took long: the next is a minute away
    stop, metrics = Stop(), Metrics()
    async with open_database(postgres_url, "sync") as first, open_database(postgres_url, "sync") as second:
        telling = asyncio.create_task(GaugeReader(first, ["stripe"], metrics).run(stop))
        await until(lambda: metrics.ledger.state is not None)
        async with first._asking_to_lead:  # type: ignore[attr-defined]
            # The server restarts, and the other is quicker.
            await first._leading.close()  # type: ignore[attr-defined]
            assert await second.try_lead()
            assert not exposed(metrics).keys() & LEDGER.keys()
        await until(lambda: metrics.ledger.state is None)
        stop.set()
        await telling


async def until(done: Callable[[], bool]) -> None:
    for _ in range(500):
        if done():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it does not happen")


async def test_nothing_is_told_of_a_ledger_that_cannot_be_read(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = Metrics()
    reader = GaugeReader(database, ["stripe"], metrics)
    await reader.refresh()
    assert "journal_backlog_events" in exposed(metrics)

    async def gone() -> bool:
        raise StorageUnavailable("the database failed")

    monkeypatch.setattr(database, "try_lead", gone)
    with pytest.raises(StorageUnavailable):
        await reader.run(Stop())
    assert not exposed(metrics).keys() & LEDGER.keys()
