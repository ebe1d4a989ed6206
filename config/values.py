"""Values as people write them in a configuration, and what they become."""

import json
import re
from datetime import UTC, datetime, timedelta, tzinfo
from ipaddress import ip_address
from typing import Annotated, NamedTuple, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, SecretStr, ValidationInfo

T = TypeVar("T")

_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}
_SIZES = {"MiB": 2**20, "KiB": 2**10, "B": 1}


class Bind(NamedTuple):
    """An address to listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _duration(value: object) -> timedelta:
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", value) if isinstance(value, str) else None
    if not match:
        raise ValueError('write a whole number with s, m, h or d, as "90s" or "24h"')
    number, unit = match.groups()
    if int(number) * _UNITS[unit] > timedelta(days=3650):
        raise ValueError("is longer than ten years (3650d)")
    return int(number) * _UNITS[unit]


def _duration_text(duration: timedelta) -> str:
    unit = next(unit for unit, length in _UNITS.items() if not duration % length)
    return f"{duration // _UNITS[unit]}{unit}"


def _duration_or_off(value: object) -> timedelta | None:
    return None if value == "off" else _not_zero(_duration(value))


def _not_zero(duration: timedelta) -> timedelta:
    if not duration:
        raise ValueError("may not be zero")
    return duration


def _size(value: object) -> int:
    match = re.fullmatch(r"([0-9]{1,9})(B|KiB|MiB)", value) if isinstance(value, str) else None
    if not match:
        raise ValueError('write a whole number with B, KiB or MiB, as "1MiB"')
    size = int(match[1]) * _SIZES[match[2]]
    if not 2**10 <= size <= 64 * 2**20:
        raise ValueError("is not between 1KiB and 64MiB")
    return size


def _size_text(size: int) -> str:
    unit = next(unit for unit, length in _SIZES.items() if not size % length)
    return f"{size // _SIZES[unit]}{unit}"


def _bind(value: object) -> Bind:
    match = re.fullmatch(r"(?:\[([^\]]*)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})", str(value))
    if not match or int(match[3]) > 65535 or (match[1] is not None and not _is_ipv6(match[1])):
        raise ValueError('write host:port, as "127.0.0.1:8080" or "[::1]:8080"')
    return Bind(match[1] or match[2], int(match[3]))


def _is_ipv6(host: str) -> bool:
    try:
        return ip_address(host).version == 6
    except ValueError:
        return False


def _moment(value: object) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if not isinstance(value, datetime) or value.tzinfo is None or value.year < 1970:
        raise ValueError('write a time with its zone, as "2026-09-01T00:00:00Z"')
    return value


def _secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.strip():
        raise ValueError("is empty: a secret has to be given")
    # Anything else cannot arrive in a header, or arrives in more than one encoding.
    if not (text.isascii() and text.isprintable()) or text != text.strip():
        raise ValueError("has blanks around it, or a character that is not printable ASCII")
    return value


def together_with(other: str) -> AfterValidator:
    """For a key that goes with another, which stands before it: both are given or neither.

    It is no validator of the whole table, since that would be silent until every other mistake in it is mended.
    """

    def check(value: T, info: ValidationInfo) -> T:
        if other in info.data and (info.data[other] is None) != (value is None):
            raise ValueError(f"{other} and {info.field_name} go together: give both or neither")
        return value

    return AfterValidator(check)


def _api_base(value: str) -> str:
    mend = "write scheme, host and port, as https://host"
    try:
        url = urlsplit(value)
        host, _ = url.hostname or "", url.port
    except ValueError:
        raise ValueError(mend) from None
    if not host or not re.fullmatch(r"[\x21-\x7e]+", value) or "@" in value or url.query or url.fragment:
        raise ValueError(f"{mend}, without a user, a query or a fragment")
    if url.scheme != "https" and not (url.scheme == "http" and is_loopback(host)):
        raise ValueError("write https://…: plain http is allowed on loopback only")
    return value.rstrip("/")


def without_path(path: str) -> AfterValidator:
    """For an ApiBase of which our calls know the path: it may have none of its own, like this one."""

    def check(base: str) -> str:
        if base.count("/") > 2:
            raise ValueError(f"write scheme, host and port only, without {path}")
        return base

    return AfterValidator(check)


def is_loopback(host: str) -> bool:
    """Whether the host is this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def time_zone(name: str) -> tzinfo:
    """The time zone of this name, as "Europe/London". Raises ValueError."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError('is no time zone that this machine knows; write one as "Europe/London", or "UTC"') from None


def _time_zone_name(name: str) -> str:
    time_zone(name)
    return name


def lines(value: object) -> object:
    """A list given as text, as JSON or one item a line: the content of a `*_file`, or a single value."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("["):
        return [line.strip() for line in value.splitlines() if line.strip()]
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError('begins as a list in JSON does, and is none: write ["…", "…"], or one item a line') from None


Duration = Annotated[timedelta, BeforeValidator(_duration), PlainSerializer(_duration_text)]
Timeout = Annotated[Duration, AfterValidator(_not_zero)]
PollInterval = Annotated[
    timedelta | None,
    BeforeValidator(_duration_or_off),
    PlainSerializer(lambda value: "off" if value is None else _duration_text(value)),
]
"""None: switched off."""
Size = Annotated[int, BeforeValidator(_size), PlainSerializer(_size_text)]
"""Bytes."""
BindAddress = Annotated[Bind, BeforeValidator(_bind), PlainSerializer(str)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
TimeZone = Annotated[str, AfterValidator(_time_zone_name)]
"""A name that `time_zone` knows."""
Secret = Annotated[SecretStr, AfterValidator(_secret)]
"""Never empty, never blank; printable ASCII."""
ApiBase = Annotated[str, AfterValidator(_api_base)]
"""Without a slash at its end."""
