"""Stripe's events as they arrive, and what a source of ours makes of them."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from ledger.facts import Fact
from sources.base import Delivery, Event, Message
from sources.stripe import Stripe, StripeSettings

PAYLOADS = {file.stem: json.loads(file.read_text()) for file in (Path(__file__).parent / "stripe_payloads").iterdir()}
CHARGE, INTENT = "ch_3RkT5cD9XY02abcD1aBcDeFg", "pi_3RkT5cD9XY02abcD1pQ9sTuV"
STRIPE = Stripe("stripe", StripeSettings.model_validate({"kind": "stripe", "webhook_secrets": "s", "livemode": False}))


def interpret(payload: dict[str, Any]) -> list[Fact]:
    body = json.dumps(payload).encode()
    return STRIPE.interpret(Event(1, "stripe", "evt_1", "", body, 0))


def messages(body: bytes) -> list[Message]:
    return STRIPE.messages(Delivery({}, body, 0))


def event(event_type: str, **changes: object) -> dict[str, Any]:
    """The payload with `changes` to its object."""
    source = {"refund": "refund.created", "charge": "charge.refunded", "payment_intent": "payment_intent.canceled"}
    name = "charge.dispute.funds_withdrawn" if "dispute" in event_type else source[event_type.split(".", 1)[0]]
    if event_type == "charge.refund.updated":
        name = "refund.created"
    payload: dict[str, Any] = deepcopy(PAYLOADS[name])
    payload["type"] = event_type
    payload["data"]["object"].update(changes)
    return payload
