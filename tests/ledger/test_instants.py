import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.instants import DAY, INSTANT_MAX, SECOND, from_rfc3339, from_unix, to_rfc3339


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z"),
        ("2026-11-20T11:00:00+01:00", "2026-11-20T10:00:00Z"),
        ("2026-11-20T10:00:00", "2026-11-20T10:00:00Z"),  # Infigo writes UTC without saying so
        ("2026-11-20", "2026-11-20T00:00:00Z"),
        ("2020-06-18T10:09:46.0312894Z", "2020-06-18T10:09:46.031289Z"),  # Authorize.net writes seven digits
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
    ],
)
def test_a_time_is_read_in_any_iso_form_and_written_in_one(text: str, canonical: str) -> None:
    assert to_rfc3339(from_rfc3339(text)) == canonical


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-13-01T00:00:00Z", "1969-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00",
     "9999-12-31T23:59:59-14:00", None, 5, "2026-11-20T10:00:00Z" + " " * 40],
)  # fmt: skip
def test_what_is_not_a_time_since_1970_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="time is"):
        from_rfc3339(text)


def test_unix_seconds_are_whole_seconds() -> None:
    assert from_unix(1) == SECOND
    assert to_rfc3339(from_unix(1_763_632_800)) == "2025-11-20T10:00:00Z"


@pytest.mark.parametrize("seconds", [True, 1.5, "1", None, -1, 10**30])
def test_what_is_not_a_number_of_seconds_since_1970_is_refused(seconds: object) -> None:
    with pytest.raises(ValueError, match="time is not a number"):
        from_unix(seconds)


def test_the_latest_time_that_is_read_leaves_room_for_every_grace_period() -> None:
    assert to_rfc3339(INSTANT_MAX + 900 * 365 * DAY).startswith("98")


@given(st.integers(0, INSTANT_MAX))
def test_writing_and_reading_a_time_gives_it_back(instant: int) -> None:
    assert from_rfc3339(to_rfc3339(instant)) == instant
