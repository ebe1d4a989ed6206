"""Moments and durations: whole microseconds since the Unix epoch, UTC. Exact, comparable, cheap to store."""

from datetime import UTC, datetime, timedelta

Instant = int
"""Microseconds since 1970-01-01T00:00:00Z."""

SECOND = 1_000_000
DAY = 86_400 * SECOND

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
INSTANT_MAX = 221_845_392_000 * SECOND
"""The year 9000, the latest that is read: with any grace period on top, RFC 3339 can still write it."""


def from_unix(seconds: object) -> Instant:
    """The instant of a whole number of Unix seconds."""
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 <= seconds * SECOND <= INSTANT_MAX:
        raise ValueError("time is not a number of seconds since 1970")
    return seconds * SECOND


def from_rfc3339(text: object) -> Instant:
    """The instant of an ISO 8601 time; one without a zone is taken as UTC. Digits beyond microseconds are cut."""
    if not isinstance(text, str) or not 10 <= len(text) <= 40:
        raise ValueError("time is not in RFC 3339 form")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("time is not in RFC 3339 form") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    instant = (moment - _EPOCH) // _TICK
    if not 0 <= instant <= INSTANT_MAX:
        raise ValueError("time is out of range")
    return instant


def to_rfc3339(instant: Instant) -> str:
    """As "2026-11-20T10:00:00Z", with microseconds where there are any."""
    return (_EPOCH + timedelta(microseconds=instant)).isoformat().replace("+00:00", "Z")
