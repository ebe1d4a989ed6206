"""What went wrong elsewhere, in the field, and must not go wrong here."""

import asyncio
import json
import resource
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from storage.schema import dead_letters
from tests.e2e.house import House, house, proof
from tests.e2e.messages import charge, event, order, refund

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A whole house: every test speaks of orders of its own."""
    async with house(tmp_path_factory.mktemp("house"), module_url) as built:
        yield built


async def test_guards_on_the_latest_refund_only_let_duplicates_in_and_failures_out(shared: House) -> None:
    """woocommerce-gateway-stripe #5697: only the latest refund's id was kept."""
    first, second, third = (refund(f"5697{n}", 5697, amount, 2 + h) for n, amount, h in
                            (("a", 30_00, 0), ("b", 20_00, 1), ("c", 10_00, 2)))  # fmt: skip
    await shared.tell(
        order(5697, 1),
        event("5697charge", "charge.succeeded", charge(5697, 100_00), 1),
        event("5697a", "refund.created", first, 2),
        order(5697, 2.5, "PartiallyRefunded", refunded=30_00),
        event("5697b", "refund.created", second, 3),
        order(5697, 3.5, "PartiallyRefunded", refunded=50_00),
        event("5697c", "refund.created", third, 4),
        order(5697, 4.5, "PartiallyRefunded", refunded=60_00),
        # The first is told once more, in an event of its own, when it has long ceased to be the latest.
        event("5697a2", "refund.updated", first, 5),
        event("5697a3", "charge.refund.updated", first, 5),
    )
    second_and_third = [
        "matched 5697 | re_5697b succeeded 20.00 GBP 3h | 20.00 GBP 3.5h | 20.00-20.00=0.00 lag 1800",
        "matched 5697 | re_5697c succeeded 10.00 GBP 4h | 10.00 GBP 4.5h | 10.00-10.00=0.00 lag 1800",
    ]
    assert await shared.lines(5697) == [
        "matched 5697 | re_5697a succeeded 30.00 GBP 2h | 30.00 GBP 2.5h | 30.00-30.00=0.00 lag 1800",
        *second_and_third,
    ]
    await shared.tell(event("5697a4", "refund.failed", first | {"status": "failed"}, 90))
    assert await shared.lines(5697) == [
        "unmatched refund_failed 5697 | re_5697a failed 30.00 GBP 2h | 30.00 GBP 2.5h | 0.00-30.00=-30.00",
        *second_and_third,
    ]


async def test_one_refund_is_recorded_several_times_in_a_race(shared: House) -> None:
    """gumroad #6193: webhook, retry and the shop's own call each recorded the same refund."""
    made = refund("6193", 6193, 25_00, 2)
    listed = charge(6193, 100_00, 25_00, refunds={"object": "list", "data": [made]})
    told = [
        event("6193a", "refund.created", made, 2),
        event("6193b", "refund.updated", made, 2),
        event("6193c", "charge.refund.updated", made, 2),
        event("6193d", "charge.refunded", listed, 2),
    ]
    recorded = order(6193, 3, "PartiallyRefunded", refunded=25_00)
    replies = await asyncio.gather(
        *(shared.post("stripe", body) for body in told * 5), *(shared.post("shop", recorded) for _ in range(5))
    )
    statuses = [reply.json()["status"] for reply in replies]
    assert (statuses.count("accepted"), statuses.count("duplicate")) == (5, 20)
    await shared.settled()
    assert await shared.lines(6193) == [
        "matched 6193 | re_6193 succeeded 25.00 GBP 2h | 25.00 GBP 3h | 25.00-25.00=0.00 lag 3600"
    ]


async def test_a_second_refund_is_never_registered(shared: House) -> None:
    """event-tickets #3095: an order that was refunded already could not become refunded again."""
    await shared.tell(
        order(3095, 1),
        event("3095a", "refund.created", refund("3095a", 3095, 40_00, 2), 2),
        order(3095, 3, "Refunded", refunded=40_00),
        event("3095b", "refund.created", refund("3095b", 3095, 60_00, 50), 50),
        order(3095, 51, "Refunded", refunded=100_00),
    )
    assert await shared.lines(3095) == [
        "matched 3095 | re_3095a succeeded 40.00 GBP 2h | 40.00 GBP 3h | 40.00-40.00=0.00 lag 3600",
        "matched 3095 | re_3095b succeeded 60.00 GBP 50h | 60.00 GBP 51h | 60.00-60.00=0.00 lag 3600",
    ]


async def test_the_second_partial_refund_is_dropped_and_the_whole_charge_deducted(shared: House) -> None:
    """opencode #28400: the charge's total and its running total were taken for the refund's amount."""
    await shared.tell(
        order(28400, 1),
        event("28400a", "refund.created", refund("28400a", 28400, 12_50, 2), 2),
        event("28400b", "charge.refunded", charge(28400, 100_00, 12_50), 2),
        order(28400, 3, "PartiallyRefunded", refunded=12_50),
        event("28400c", "refund.created", refund("28400b", 28400, 7_50, 4), 4),
        event("28400d", "charge.refunded", charge(28400, 100_00, 20_00), 4),
    )
    assert await shared.lines(28400) == [
        "matched 28400 | re_28400a succeeded 12.50 GBP 2h | 12.50 GBP 3h | 12.50-12.50=0.00 lag 3600",
        "unmatched missing_in_storefront 28400 | re_28400b succeeded 7.50 GBP 4h | made 7.50",
    ]


async def test_a_refund_fails_after_it_succeeded_and_the_shop_still_shows_it(shared: House) -> None:
    """woocommerce-payments #2285: the bank sent the money back days later, and nobody looked again."""
    made = refund("2285", 2285, 100_00, 2)
    await shared.tell(
        order(2285, 1),
        event("2285a", "refund.created", made | {"status": "pending"}, 2),
        event("2285b", "refund.updated", made, 3),
        order(2285, 4, "Refunded", refunded=100_00),
    )
    assert await shared.lines(2285) == [
        "matched 2285 | re_2285 succeeded 100.00 GBP 2h | 100.00 GBP 4h | 100.00-100.00=0.00 lag 7200"
    ]
    failed = made | {"status": "failed", "failure_reason": "expired_or_canceled_card"}
    await shared.tell(event("2285c", "refund.failed", failed, 80))
    assert await shared.lines(2285) == [
        "unmatched refund_failed 2285 | re_2285 failed 100.00 GBP 2h | 100.00 GBP 4h | 0.00-100.00=-100.00"
    ]
    [entry] = await shared.entries(order="2285")
    history = (await shared.get(f"entries/{entry['id']}"))["history"]
    assert [(change["status"], change["reason"]) for change in history][-2:] == [
        ("matched", None),
        ("unmatched", "refund_failed"),
    ]


async def test_of_two_events_in_one_second_the_later_state_is_lost(shared: House) -> None:
    """stripe sync-engine #268: an event with the time of the one before was taken for old."""
    done, failed = refund("268a", 268, 10_00, 2), refund("268b", 268, 20_00, 2)
    await shared.tell(
        order(268, 1),
        event("268a", "refund.updated", done, 2),
        event("268b", "refund.created", done | {"status": "pending"}, 2),
        event("268c", "refund.created", failed, 2),
        event("268d", "refund.failed", failed | {"status": "failed"}, 2),
        order(268, 3, "PartiallyRefunded", refunded=10_00),
    )
    assert sorted(await shared.lines(268)) == [
        "closed 268 | re_268b failed 20.00 GBP 2h | made 0.00",
        "matched 268 | re_268a succeeded 10.00 GBP 2h | 10.00 GBP 3h | 10.00-10.00=0.00 lag 3600",
    ]


@pytest.mark.parametrize("refunds", [{}, {"refunds": None}, {"refunds": {"object": "list", "data": []}}])
async def test_a_charge_without_its_list_of_refunds_breaks_the_webhook(shared: House, refunds: dict[str, Any]) -> None:
    """pgeu-system #157: since 2022-11-15 the charge does not list its refunds."""
    number = 15700 + len(json.dumps(refunds))
    aside = await shared.count(dead_letters)
    await shared.tell(
        order(number, 1),
        event(f"{number}a", "charge.refunded", charge(number, 100_00, 15_00, **refunds), 2),
    )
    assert await shared.lines(number) == []
    await shared.tell(event(f"{number}b", "refund.created", refund(str(number), number, 15_00, 2), 2))
    assert await shared.lines(number) == [
        f"unmatched missing_in_storefront {number} | re_{number} succeeded 15.00 GBP 2h | made 15.00"
    ]
    assert await shared.count(dead_letters) == aside


async def test_refunds_of_unknown_orders_kill_the_queue(shared: House) -> None:
    """lago-api #857: each refund that was not made by the shop itself became a dead job."""
    aside = await shared.count(dead_letters)
    strangers = [event(f"857{n}", "refund.created", refund(f"857{n}", 85700 + n, 5_00 + n, 2), 2) for n in range(20)]
    await shared.tell(
        *strangers,
        event("857known", "refund.created", refund("857known", 857, 50_00, 2), 2),
        order(857, 3, "PartiallyRefunded", refunded=50_00),
    )
    assert await shared.lines(857) == [
        "matched 857 | re_857known succeeded 50.00 GBP 2h | 50.00 GBP 3h | 50.00-50.00=0.00 lag 3600"
    ]
    assert await shared.line("re_85719") == ("unmatched order_unknown | re_85719 succeeded 5.19 GBP 2h | made 5.19")
    # The order is told at last, and has been refunded.
    await shared.tell(order(85719, 4, "PartiallyRefunded", refunded=5_19))
    assert await shared.line("re_85719") == (
        "matched 85719 | re_85719 succeeded 5.19 GBP 2h | 5.19 GBP 4h | 5.19-5.19=0.00 lag 7200"
    )
    assert await shared.count(dead_letters) == aside


@pytest.mark.parametrize("secret", ['webhook_secrets = [""]', 'webhook_secrets = ["  "]', "webhook_secrets = []", ""])
async def test_an_empty_secret_is_accepted(tmp_path: Path, secret: str) -> None:
    """shopper #602: without a configured secret whatever came was taken for genuine."""
    unguarded = House(tmp_path, f"sqlite:///{tmp_path}/ledger.db")
    text = unguarded.toml.read_text()
    unguarded.toml.write_text(text.replace('webhook_secrets = ["whsec_of_the_tests"]', secret))
    status, _, said = await unguarded.run("listener")
    assert (status, "sources.stripe.webhook_secrets" in said) == (2, True)
    await unguarded.close()


async def test_a_signature_made_with_an_empty_secret_is_accepted(shared: House) -> None:
    """shopper #602: the signature of an empty secret is easily made."""
    body = event("602", "refund.created", refund("602", 602, 1_00, 2), 2)
    genuine = proof("stripe", body)["stripe-signature"]
    for header in (f"{genuine.split(',')[0]},v1=", genuine.replace(genuine[-64:], "0" * 64)):
        assert (await shared.post("stripe", body, {"stripe-signature": header})).status_code == 401
    # A user and a password that are empty.
    assert (await shared.post("shop", order(602, 1), {"authorization": "Basic Og=="})).status_code == 401
    assert "evt_602" not in await shared.journal_keys()


async def test_a_missing_header_is_a_500(shared: House) -> None:
    """eventyay #3447: verification raised where the header was absent."""
    body = event("3447", "refund.created", refund("3447", 3447, 1_00, 2), 2)
    before = await shared.metrics("listener")
    for headers in ({}, {"stripe-signature": ""}, {"stripe-signature": "t=,v1"}, {"stripe-signature": "t=1,v1=é"}):
        reply = await shared.post("stripe", body, {name: value.encode() for name, value in headers.items()})
        assert (reply.status_code, reply.headers["content-type"]) == (401, "application/problem+json")
    refused = "webhooks_total{outcome=unauthenticated,source=stripe}"
    assert (await shared.metrics("listener"))[refused] - before[refused] == 4
    assert "evt_3447" not in await shared.journal_keys()


async def test_a_storage_failure_is_answered_200(tmp_path: Path, sqlite_url: str) -> None:
    """eventyay #3447: what could not be stored was acknowledged, and so never sent again."""
    made = event("3447", "refund.created", refund("3447", 3447, 20_00, 2), 2)
    async with house(tmp_path, sqlite_url) as built:
        await built.tell(order(3447, 1))
        full, room = (0, resource.RLIM_INFINITY), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(built.process_id("listener"), resource.RLIMIT_FSIZE, full)
        reply = await built.post("stripe", made)
        assert (reply.status_code, "retry-after" in reply.headers) == (503, True)
        assert "sqlite" not in reply.text.lower()
        resource.prlimit(built.process_id("listener"), resource.RLIMIT_FSIZE, room)
        await built.tell(made, order(3447, 3, "PartiallyRefunded", refunded=20_00))
        assert await built.lines(3447) == [
            "matched 3447 | re_3447 succeeded 20.00 GBP 2h | 20.00 GBP 3h | 20.00-20.00=0.00 lag 3600"
        ]


async def test_yen_are_off_by_a_hundred(shared: House) -> None:
    """gumroad #3749: a refund of 5,800 yen became one of 58. Stripe's krónur do have decimals; its dinars three."""
    await shared.tell(
        order(3749, 1, currency="JPY", total=12_000),
        event("3749a", "refund.created", refund("3749a", 3749, 5_800, 2, currency="jpy"), 2),
        order(3749, 3, "PartiallyRefunded", currency="JPY", total=12_000, refunded=5_800),
        event("3749b", "refund.created", refund("3749b", 37491, 5_800_00, 2, currency="isk"), 2),
        order(37491, 3, "PartiallyRefunded", currency="ISK", total=12_000, refunded=5_800),
        event("3749c", "refund.created", refund("3749c", 37492, 5_800, 2, currency="kwd"), 2),
        order(37492, 3, "PartiallyRefunded", currency="KWD", total=12_000, refunded=5_800),
    )
    assert [*await shared.lines(3749), *await shared.lines(37491), *await shared.lines(37492)] == [
        "matched 3749 | re_3749a succeeded 5800 JPY 2h | 5800 JPY 3h | 5800-5800=0 lag 3600",
        "matched 37491 | re_3749b succeeded 5800 ISK 2h | 5800 ISK 3h | 5800-5800=0 lag 3600",
        "matched 37492 | re_3749c succeeded 5.800 KWD 2h | 5.800 KWD 3h | 5.800-5.800=0.000 lag 3600",
    ]


async def test_sixty_and_forty_of_a_hundred_stay_partial(shared: House) -> None:
    """nopCommerce #740: two partial refunds that make up the whole never became a full refund."""
    await shared.tell(
        order(740, 1),
        event("740a", "refund.created", refund("740a", 740, 60_00, 2), 2),
        order(740, 3, "PartiallyRefunded", refunded=60_00),
        event("740b", "refund.created", refund("740b", 740, 40_00, 4), 4),
        order(740, 5, "PartiallyRefunded", refunded=100_00, OrderStatus="Cancelled"),
    )
    assert await shared.lines(740) == [
        "matched 740 | re_740a succeeded 60.00 GBP 2h | 60.00 GBP 3h | 60.00-60.00=0.00 lag 3600",
        "matched 740 | re_740b succeeded 40.00 GBP 4h | 40.00 GBP 5h | 40.00-40.00=0.00 lag 3600",
    ]


async def test_the_whole_is_recorded_once_for_sixty_and_forty(shared: House) -> None:
    """nopCommerce #740, the other way round: the shop tells only that all of it went back."""
    await shared.tell(
        order(7400, 1),
        event("7400a", "refund.created", refund("7400a", 7400, 60_00, 2), 2),
        event("7400b", "refund.created", refund("7400b", 7400, 40_00, 4), 4),
        order(7400, 5, "Refunded"),
    )
    both = "re_7400a succeeded 60.00 GBP 2h + re_7400b succeeded 40.00 GBP 4h"
    assert await shared.lines(7400) == [
        f"matched unverified 7400 | {both} | 100.00 GBP 5h | 100.00-100.00=0.00 lag 10800"
    ]


async def test_a_cancelled_order_is_never_refunded(shared: House) -> None:
    """reaction #4226: cancelling did not give the money back, and everybody assumed that it had."""
    await shared.tell(
        event("4226a", "charge.succeeded", charge(4226, 100_00), 1),
        order(4226, 1),
        order(4226, 2, OrderStatus="Cancelled"),
    )
    assert await shared.lines(4226) == ["unmatched cancelled_not_refunded 4226 | expected 100.00"]
    await shared.tell(event("4226b", "refund.created", refund("4226", 4226, 70_00, 90), 90))
    assert await shared.lines(4226) == [
        "unmatched cancelled_not_refunded 4226 | expected 30.00",
        "unmatched missing_in_storefront 4226 | re_4226 succeeded 70.00 GBP 90h | made 70.00",
    ]
    await shared.tell(
        event("4226c", "refund.created", refund("4226b", 4226, 30_00, 91), 91),
        order(4226, 92, "Refunded", refunded=100_00, OrderStatus="Cancelled"),
    )
    both = "re_4226 succeeded 70.00 GBP 90h + re_4226b succeeded 30.00 GBP 91h"
    assert await shared.lines(4226) == [f"matched 4226 | {both} | 100.00 GBP 92h | 100.00-100.00=0.00 lag 7200"]
