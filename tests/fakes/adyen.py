"""What Adyen sends, signed as Adyen signs."""

import base64
import hmac
import json
from typing import Any

KEY = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
"""The key of the tests of Adyen's own libraries."""

PASSWORD = "password-of-the-webhook"


def signature(fields: dict[str, Any], key: str = KEY) -> str:
    """The signature of an item's fields, by Adyen's description."""
    told = fields.get("amount")
    amount = told if isinstance(told, dict) else {}
    parts = [fields.get(n) for n in ("pspReference", "originalReference", "merchantAccountCode", "merchantReference")]
    parts += [amount.get("value"), amount.get("currency"), fields.get("eventCode"), fields.get("success")]
    text = ":".join("" if part is None else str(part) for part in parts)
    return base64.b64encode(hmac.digest(bytes.fromhex(key), text.encode("utf-8", "replace"), "sha256")).decode()


def item(code: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 (fields of many types)
    """An item of 25.00 GBP back from payment PAYMENT00000001; a change to None leaves the field out."""
    fields = {
        "additionalData": {},
        "amount": {"currency": "GBP", "value": 2500},
        "eventCode": code,
        "eventDate": "2025-11-02T16:04:05+01:00",
        "merchantAccountCode": "PrintShopCOM",
        "merchantReference": "1001",
        "originalReference": "PAYMENT000000001",
        "paymentMethod": "visa",
        "pspReference": "REFUND0000000001",
        "reason": "",
        "success": "true",
    } | changes
    return {name: value for name, value in fields.items() if value is not None}


def notification(*items: dict[str, Any], live: object = "true", key: str = KEY) -> bytes:
    """A delivery of these items, each signed."""
    signed = []
    for fields in items:
        additional = {"hmacSignature": signature(fields, key)} | fields.get("additionalData", {})
        signed.append({"NotificationRequestItem": fields | {"additionalData": additional}})
    return json.dumps({"live": live, "notificationItems": signed}).encode()
