"""A gateway that orders name, before and after a source is configured for it."""

from typing import Any

from ledger.policy import Policy
from storage.database import Database
from storage.facts import mark_unconfigured
from sync.work import settle
from tests.sync.build import LATER, RULES, SOURCES, deliver, only_entry, order, work_off


async def test_its_refunds_are_judged_once_sync_has_started_with_a_source_for_it(database: Database) -> None:
    by_paypal: dict[str, Any] = {"PaymentMethodSystemName": "Payments.PayPal", "CaptureTransactionId": "8AB1"}
    await deliver(database, order(**by_paypal))
    await work_off(database)
    assert (await only_entry(database)).unconfigured == "Payments.PayPal"

    shop = RULES.stores["shop"]
    shop_now = type(shop)(payment_methods={"Payments.PayPal": "stripe"})
    rules = Policy(gateways=RULES.gateways, stores={"shop": shop_now})
    async with database.write() as conn:
        await mark_unconfigured(conn, LATER)
    await settle(database, SOURCES, rules, lambda: LATER)
    entry = await only_entry(database)
    assert (entry.reason, entry.unconfigured) == ("missing_in_gateway", None)


async def test_what_was_in_doubt_is_judged_once_sync_has_started_with_the_payment_methods(database: Database) -> None:
    await deliver(database, order(PaymentMethodSystemName="Payments.PayPal", CaptureTransactionId=None))
    await work_off(database)
    assert (await only_entry(database)).reason == "missing_in_gateway"

    shop = RULES.stores["shop"]
    rules = Policy(gateways=RULES.gateways, stores={"shop": type(shop)(payment_methods={"Payments.Stripe": "stripe"})})
    async with database.write() as conn:
        await mark_unconfigured(conn, LATER)
    await settle(database, SOURCES, rules, lambda: LATER)
    entry = await only_entry(database)
    assert (entry.status, entry.unconfigured) == ("closed", "Payments.PayPal")


async def test_what_is_missing_stays_missing_where_its_gateway_is_configured(database: Database) -> None:
    await deliver(database, order())
    await work_off(database)
    async with database.write() as conn:
        await mark_unconfigured(conn, LATER)
    await settle(database, SOURCES, RULES, lambda: LATER)
    assert (await only_entry(database)).reason == "missing_in_gateway"
