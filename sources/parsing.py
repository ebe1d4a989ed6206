"""Taking apart what came from outside. What is not as it should be raises NotUnderstood, and nothing else."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn, TypeAlias

import msgspec

from sources.base import NotUnderstood

JsonObject: TypeAlias = dict[str, Any]

ITEMS_MAX = 1000
"""No batch is longer; every item becomes a row of the journal."""

_SPACE = re.compile(r"[ \t\n\r]*")
_IDENTIFIER = re.compile(r"[\x20-\x7e]{1,255}")
_PLACEHOLDER = re.compile(r"[\W0_]*|n/?a|none|null|unknown", re.IGNORECASE)
_FAULTS = (ValueError, RecursionError)


# JSON ----------------------------------------------------------------------------------------------------------------


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _decimal(text: str) -> Decimal:
    """A number beyond what Decimal can hold is none: whoever reads it refuses it, and what stands beside it is read."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("NaN")


_DECODER = json.JSONDecoder(parse_float=_decimal, parse_constant=_refuse_constant)
_FAST_DECODER = msgspec.json.Decoder(float_hook=_decimal)


def json_object(body: bytes) -> JsonObject:
    """The JSON object that the whole body is. Numbers with a point are Decimal."""
    return as_object(_json_value(body), "the body")


def _json_value(body: bytes) -> object:
    try:
        return _FAST_DECODER.decode(body)
    except (msgspec.MsgspecError, *_FAULTS):
        # It refuses a byte order mark and half an emoji (a text that its sender cut off), which are not beyond reading.
        pass
    text = _text(body)
    try:
        return _DECODER.decode(text)
    except _FAULTS:
        raise NotUnderstood("the body is not JSON") from None


def is_array(body: bytes) -> bool:
    """Whether the body begins as a JSON array does."""
    return body.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\n\r").startswith(b"[")


def array_items(body: bytes) -> list[tuple[bytes, Any]]:
    """The items of the JSON array that the body is, each as it stood there and as its value."""
    text = _text(body)
    try:
        items, end = _items(text, text.index("["))
        if end != len(text):
            raise ValueError("text behind the array")
    except (*_FAULTS, IndexError):
        raise NotUnderstood("the body is not a JSON array") from None
    return items


def array_member(body: bytes, name: str) -> tuple[list[tuple[bytes, Any]], JsonObject]:
    """The items of one array in the JSON object that the body is, as `array_items`; and its other members."""
    text = _text(body)
    items: list[tuple[bytes, Any]] | None = None
    others: JsonObject = {}
    try:
        at = _skip(text, 0)
        while text[at] == ("," if others or items is not None else "{"):
            key, at = _DECODER.raw_decode(text, _skip(text, at + 1))
            at = _skip(text, at)
            if not isinstance(key, str) or text[at] != ":":
                raise ValueError("not a member")
            at = _skip(text, at + 1)
            if key == name:
                items, at = _items(text, at)
            else:
                others[key], end = _DECODER.raw_decode(text, at)
                at = _skip(text, end)
        if items is None or text[at] != "}" or _skip(text, at + 1) != len(text):
            raise ValueError("no such list, or text behind the object")
    except (*_FAULTS, IndexError):
        raise NotUnderstood(f"the body is not a JSON object with a list of {name}") from None
    return items, others


def _items(text: str, at: int) -> tuple[list[tuple[bytes, Any]], int]:
    """The items of the array that begins there, and where the text goes on behind it."""
    items: list[tuple[bytes, Any]] = []
    if text[at] != "[":
        raise ValueError("not an array")
    at = _skip(text, at + 1)
    while text[at] != "]" or items:
        value, end = _DECODER.raw_decode(text, at)
        items.append((text[at:end].encode(), value))
        if len(items) > ITEMS_MAX:
            raise NotUnderstood(f"the list has more than {ITEMS_MAX} items")
        at = _skip(text, end)
        if text[at] == "]":
            break
        if text[at] != ",":
            raise ValueError("no comma between items")
        at = _skip(text, at + 1)
    return items, _skip(text, at + 1)


def canonical(value: object) -> bytes:
    """The same bytes for the same content, whatever the order of its keys and the blanks between them."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()
    except _FAULTS:
        raise NotUnderstood("the content is nested too deeply") from None


def content_hash(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def body_key(body: bytes) -> str:
    """The identity of a message that tells none of its own."""
    return f"sha256:{content_hash(body)}"


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NotUnderstood("the body is not UTF-8") from None


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match  # it matches nothing, too
    return match.end()


# Values --------------------------------------------------------------------------------------------------------------


def as_object(value: object, name: str) -> JsonObject:
    """The value as a JSON object."""
    if not isinstance(value, dict):
        raise NotUnderstood(f"{name} is not an object")
    return value


def identifier(value: object, name: str) -> str:
    """An id of the other system: printable ASCII, at most 255 characters. A whole number counts as its digits."""
    text = str(value) if _is_small_number(value) else value
    if not isinstance(text, str) or not _IDENTIFIER.fullmatch(text):
        raise NotUnderstood(f"{name} is missing or not an identifier")
    return text


def own_identifier(value: object, name: str) -> str:
    """As `identifier`; but what stands in its place where there is none, as "0" or "n/a", is none."""
    text = identifier(value, name)
    if is_placeholder(text):
        raise NotUnderstood(f"{name} is missing or not an identifier")
    return text


def is_placeholder(text: str) -> bool:
    """Whether it is no id: taken for one, it would make one thing of all that have it."""
    return bool(_PLACEHOLDER.fullmatch(text))


def clean(value: object) -> str | None:
    """A text without blanks around it; None where it is empty, over 255 characters, not printable or not a text.

    Control characters, NUL and lone surrogates can be written in JSON and must not reach a text column.
    """
    text = str(value).strip() if isinstance(value, str) or _is_small_number(value) else ""
    return text if 0 < len(text) <= 255 and text.isprintable() else None


def texts(values: Iterable[object]) -> tuple[str, ...]:
    """Those of the values that are texts, as `clean`, each once."""
    return tuple(dict.fromkeys(text for value in values if (text := clean(value))))


def _is_small_number(value: object) -> bool:
    # str() of a number of thousands of digits is slow, and longer ones raise.
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**40


# Credentials ---------------------------------------------------------------------------------------------------------


def bearer(headers: Mapping[str, str]) -> bytes:
    """The token of `Authorization: Bearer`; empty where there is none."""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    return _bytes(rest.strip()) if scheme.lower() == "bearer" else b""


def basic_password(headers: Mapping[str, str]) -> bytes:
    """The password of `Authorization: Basic`; empty where there is none."""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(_bytes(rest.strip()), validate=True).partition(b":")[2]
    except binascii.Error:
        return b""


def header_bytes(headers: Mapping[str, str], name: str) -> bytes:
    """A header's value as it came over the wire; empty where there is none."""
    return _bytes(headers.get(name, "").strip())


def _bytes(value: str) -> bytes:
    return value.encode("latin-1", "replace")
