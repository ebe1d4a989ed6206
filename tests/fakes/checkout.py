"""What Checkout.com sends, signed as Checkout.com signs."""

import hmac
import json
from typing import Any

SECRET = "signature-key-of-the-workflow"

PAYMENT = "pay_pswr5qaqzzferh2puzfyrefzuy"


def event(event_type: str, event_id: str = "evt_rmbwhvwacc7u5iczmz2tdcogum", **changes: Any) -> bytes:  # noqa: ANN401
    """Shaped as the example of payment_refunded in Checkout.com's documentation; a change to None leaves it out."""
    balances = {
        "total_authorized": 10000,
        "total_voided": 0,
        "available_to_void": 0,
        "total_captured": 10000,
        "available_to_capture": 0,
        "total_refunded": 4500,
        "available_to_refund": 5500,
    }
    data = {
        "action_id": "act_7fmebms4rtmuja2poigylogjk4",
        "response_code": "10000",
        "response_summary": "Approved",
        "reference": "1001",
        "amount": 2500,
        "balances": balances,
        "processing": {"acquirer_reference_number": "773993129364"},
        "id": PAYMENT,
        "currency": "GBP",
        "processed_on": "2025-11-02T15:04:05.1234567Z",
        "metadata": {"coupon_code": "NY2018", "partner_id": 123989},
    } | changes
    return _body(event_type, event_id, data)


def dispute(event_type: str, event_id: str, **changes: Any) -> bytes:  # noqa: ANN401
    """Shaped as the example of dispute_evidence_required."""
    data = {
        "id": "dsp_9rjdlsd4epepfjyyf9vl",
        "date": "2025-11-05T15:20:31.5042702+00:00",
        "category": "fraudulent",
        "amount": 10000,
        "currency": "GBP",
        "reason_code": "10.4",
        "payment_id": PAYMENT,
        "payment_action_id": "act_7B15779D173D0W45700D",
        "payment_reference": "1001",
        "payment_method": "VISA",
    } | changes
    return _body(event_type, event_id, data, moment="timestamp")


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    """The header of this body."""
    return {"cko-signature": hmac.digest(secret.encode(), body, "sha256").hex()}


def _body(event_type: str, event_id: str, data: dict[str, Any], moment: str = "created_on") -> bytes:
    told = {name: value for name, value in data.items() if value is not None}
    links = {"self": {"href": f"https://api.checkout.com/events/{event_id}"}}
    envelope = {"id": event_id, "type": event_type, "version": "1.0.1", moment: "2025-11-02T15:04:06Z"}
    return json.dumps(envelope | {"data": told, "_links": links}).encode()
