"""The story that the demonstration tells."""

import time
from typing import Any

from cli.demo.story import Told, tell
from ledger.derive import derive
from ledger.entries import REASONS, Entry
from ledger.facts import Fact
from ledger.instants import DAY
from ledger.policy import Gateway, Policy, Store
from sources.base import Delivery, Event
from sources.registry import kinds

NOW = time.time_ns() // 1000
SETTINGS: dict[str, dict[str, Any]] = {
    "stripe": {"kind": "stripe", "webhook_secrets": ["secret"]},
    "shop": {"kind": "infigo", "webhook_token": "token"},
}


def entries_of(told: Told) -> list[Entry]:
    sources = {
        name: kinds()[table["kind"]](name, kinds()[table["kind"]].settings_model.model_validate(table))
        for name, table in SETTINGS.items()
    }
    facts: list[Fact] = []
    for delivery in told.deliveries:
        for message in sources[delivery.source].messages(Delivery({}, delivery.body, NOW)):
            assert message.verdict == "used"
            if not delivery.forged:
                facts += sources[delivery.source].interpret(
                    Event(1, delivery.source, "", message.type, message.body, NOW)
                )
    policy = Policy(
        ledger_start=NOW - 90 * DAY,
        gateways={"stripe": Gateway(payment_id_form=kinds()["stripe"].payment_id_form)},
        stores={"shop": Store({"Payments.Stripe": "stripe"}, frozenset({"Payments.PurchaseOrder"}))},
    )
    return derive(facts, policy, NOW).entries


def test_every_status_and_every_reason_occurs() -> None:
    entries = entries_of(tell(NOW))
    assert {entry.reason for entry in entries} == {None, *REASONS}
    assert {entry.status for entry in entries} == {"matched", "unmatched", "pending", "closed"}


def test_the_same_end_gives_the_same_story() -> None:
    assert tell(NOW) == tell(NOW)


def test_what_gets_lost_changes_nothing() -> None:
    told = tell(NOW)
    assert told.lost > 10
    assert sum(entry.status == "matched" for entry in entries_of(told)) == 30


def test_no_alarm_is_raised_for_orders_that_no_gateway_was_paid_for() -> None:
    on_account = [d for d in tell(NOW).deliveries if b"PurchaseOrder" in d.body]
    assert on_account
    assert entries_of(Told(on_account, 0, 0)) == []
