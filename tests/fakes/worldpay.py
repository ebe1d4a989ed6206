"""What Access Worldpay sends, signed as Worldpay signs."""

import hmac
import json
from typing import Any

SECRET = "5f2d1c0b9a8e7d6c5b4a39281706f5e4d3c2b1a0998877665544332211ffeedd"


def event(event_type: str, event_id: str = "cc55ca5a-e05c-47e1-8e94-e88bac1a0a18", **changes: Any) -> bytes:  # noqa: ANN401
    """Shaped as the examples in Worldpay's documentation; a change to None leaves the field out."""
    details = {
        "classification": "payment",
        "downstreamReference": "3378792436",
        "transactionReference": "1001",
        "type": event_type,
        "date": "2025-11-02",
        "reference": "partial-refund-1",
        "amount": {"value": 2500, "currencyCode": "GBP"},
        "_links": {"payment": {"href": ""}},
    } | changes
    told = {name: value for name, value in details.items() if value is not None}
    envelope = {"eventId": event_id, "eventTimestamp": "2025-11-02T15:04:05.407", "eventDetails": told}
    return json.dumps(envelope).encode()


def signed(body: bytes, secret: str = SECRET, key_id: str = "1") -> dict[str, str]:
    """The header of this body."""
    return {"event-signature": f"{key_id}/SHA256/{hmac.digest(bytes.fromhex(secret), body, 'sha256').hex()}"}
