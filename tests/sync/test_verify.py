"""Comparing the ledger with a gateway's own list: what is too young to have been heard of is no drift."""

import pytest

from ledger.instants import DAY, from_rfc3339
from sources import http_client
from sources.opayo import Opayo, OpayoSettings
from storage.database import Database
from sync.verify import verify
from tests.fakes.opayo import PASSWORD, USER, VENDOR, FakeOpayo, guid, transaction

NOW = from_rfc3339("2026-11-21T12:00:00Z")


async def test_what_a_gateway_that_is_only_polled_has_not_told_yet_is_no_drift(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "system_clock", lambda: NOW)
    fake = FakeOpayo()
    fake.has(
        transaction(1, "Refund", "1.00", started="21/11/2026 11:35:00.000"),  # younger than the poll_interval of 30m
        transaction(2, "Refund", "2.00", started="21/11/2026 11:00:00.000"),
        transaction(3, "Payment", "3.00", 18, started="21/11/2026 09:00:00.000"),  # may still be voided
        transaction(4, "Payment", "4.00", 18, started="19/11/2026 09:00:00.000"),
    )
    with fake.serving() as base:
        own = {"kind": "opayo", "vendor": VENDOR, "user": USER, "password": PASSWORD, "api_base": base}
        source = Opayo("opayo", OpayoSettings.model_validate({**own, "requests_per_second": 100}))
        report = await verify(database, source, NOW - 7 * DAY, lambda: NOW)

    assert {(drift.kind, drift.id) for drift in report.drift} == {("missing", guid(2)), ("missing", guid(4))}
