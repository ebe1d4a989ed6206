"""An event's body as people may see it: what it says of the refund, and nothing of the card or the customer.

A text is shown only where it has the form of an id, a word, a time or an amount, under a key that is not personal. All
else is masked, so that a key which nobody thought of does not give away what it holds.
"""

import json
import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

SHOWN_MAX = 30_000
"""Characters of one body."""
DEPTH_MAX = 40
VALUES_MAX = 2_000
"""So many values of one body are looked at: to judge one costs some microseconds, and a body may hold 100,000."""
KEY_MAX = 128

_PERSONAL = re.compile(
    r"name|mail|phone|mobile|fax|address|street|line_?[123]|city|town|county|province|region|post_?(al|code)|zip|holder|"
    r"shopper|owner|recipient|birth|dob|gender|company|contact|login|wallet|fingerprint|device|latitude|longitude|"
    r"card|pan$|cvv|cvc|cv2|exp(iry|_|month|year)|last_?4|first_?[46]|bin$|iban|bic|account_?num|routing|sort_?code|"
    r"^ip$|_ip$|(client|remote|source)ip|^tel|^cell|^mob|^(first|last|initials|nick|user|attn|age|lat|lng|lon|pin)$|"
    r"passport|national|ssn|^acc(oun)?t$|track_?[12]|api_?key|cookie|user_?agent|tax_?id|vat|secret|token|password|signature|url|href|description|note|comment|message|remark",
    re.IGNORECASE,
)
# These name things: PaymentMethodSystemName.
_NAMES_A_THING = re.compile(r"(system|event|type)_?name", re.IGNORECASE)
# What is under these is about a person, but for an id.
_ABOUT_A_PERSON = re.compile(r"bill|ship|customer|payer|buyer|sender|receipt", re.IGNORECASE)
_PLAIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.:/+-]{0,127})?", re.ASCII)
_STATUS_KEY = re.compile(r"status", re.IGNORECASE)
_STATUS = re.compile(r"[A-Z][A-Za-z]+( [A-Za-z]+){1,3}", re.ASCII)
_CARD = re.compile(r"(?:[0-9][ _.:/+-]?){12,18}[0-9]")


def masked(body: bytes) -> str:
    """The body to be shown; a sentence where none of it can be."""
    if not body:
        return "The body is not kept any more."
    try:
        left = iter(range(VALUES_MAX))
        shown = json.dumps(_value(json.loads(body), "", DEPTH_MAX, left), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return f"This is not JSON; its {len(body):,} bytes are not shown."
    is_whole = len(shown) <= SHOWN_MAX and next(left, None) is not None
    return shown if is_whole else f"{shown[:SHOWN_MAX]}\n… the rest is not shown."


def _value(value: Any, key: str, depth: int, left: Iterator[int]) -> Any:  # noqa: ANN401 - JSON
    if value is None or isinstance(value, bool):
        return value
    if _is_personal(key, value):
        return _mask(value)
    match value:
        case dict() | list() if not depth:
            return "…"
        case dict():
            looked_at = ((k, v) for k, v in value.items() if next(left, None) is not None)
            return {_mask(k) if _hides(k) else k: _value(v, k[:KEY_MAX], depth - 1, left) for k, v in looked_at}
        case list():
            return [_value(item, key, depth - 1, left) for item in value if next(left, None) is not None]
    is_status = _STATUS_KEY.search(key) and _STATUS.fullmatch(str(value))
    harmless = is_status or not (_hides(value) if isinstance(value, str) else _has_card(str(value)))
    return value if harmless else _mask(value)


def _is_personal(key: str, value: object) -> bool:
    if _PERSONAL.search(key) and not _NAMES_A_THING.search(key):
        return True
    is_id = isinstance(value, str) and any(map(str.isdigit, value))
    return bool(_ABOUT_A_PERSON.match(key)) and not is_id and not isinstance(value, int)


def _hides(text: str) -> bool:
    """Whether the text's form does not show that it is harmless."""
    return not _PLAIN.fullmatch(text) or _has_card(text) or _is_ip(text)


def _has_card(text: str) -> bool:
    return any(_luhn(re.sub("[^0-9]", "", found)) for found in _CARD.findall(text))


def _luhn(digits: str) -> bool:
    doubled = [int(d) * (2 if i % 2 else 1) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _mask(value: object) -> str:
    return f"••• ({len(value)} characters)" if isinstance(value, str) else "•••"
