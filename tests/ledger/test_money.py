from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.money import AMOUNT_MAX, MoneyError, currency_of, decimals_of, from_decimal, from_minor, to_decimal

CURRENCIES = st.sampled_from(["GBP", "JPY", "KWD", "CLF", "ISK", "ZZZ"])


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("12.50", "GBP", 1250),
        (Decimal("12.5"), "GBP", 1250),
        (12, "GBP", 1200),
        ("500", "JPY", 500),
        (Decimal("500.00"), "JPY", 500),
        ("1.234", "KWD", 1234),
        ("-0.05", "GBP", -5),
        (Decimal("1E+2"), "GBP", 10000),
        ("0", "GBP", 0),
        ("12.500000000000", "GBP", 1250),
    ],
)
def test_an_amount_in_major_units_becomes_minor_units(amount: object, currency: str, minor: int) -> None:
    assert from_decimal(amount, currency) == minor


@pytest.mark.parametrize(
    "amount",
    [
        "12.505", 12.5, True, None, [], "", " 12", "1_000", "12,50", "1e3", "NaN", "Infinity", "+1", "\uff11",
        Decimal("NaN"), Decimal("Infinity"), Decimal("1E+999999999"), Decimal("1E-999999999"), "9" * 41,
        "0." + "0" * 50,
        str(AMOUNT_MAX), AMOUNT_MAX, Decimal("12.340000000000000000000000000001"), 10**400,
    ],
)  # fmt: skip
def test_what_is_not_an_exact_amount_is_refused(amount: object) -> None:
    with pytest.raises(MoneyError):
        from_decimal(amount, "GBP")


@pytest.mark.parametrize(
    ("amount", "currency", "decimals", "minor"),
    [
        (1250, "GBP", 2, 1250),
        (500, "JPY", 0, 500),
        (50000, "ISK", 2, 500),  # Stripe counts Icelandic krónur and Ugandan shillings in hundredths
        (50000, "UGX", 2, 500),
        (500, "MGA", 0, 50000),  # and ariary in whole ones
        (1230, "KWD", 3, 1230),
    ],
)
def test_an_amount_that_a_gateway_counts_its_own_way_becomes_iso_minor_units(
    amount: int, currency: str, decimals: int, minor: int
) -> None:
    assert from_minor(amount, currency, decimals) == minor


@pytest.mark.parametrize("amount", [True, 1.0, "1", None, AMOUNT_MAX + 1, -AMOUNT_MAX - 1])
def test_what_is_not_a_whole_number_of_minor_units_is_refused(amount: object) -> None:
    with pytest.raises(MoneyError):
        from_minor(amount, "GBP", 2)


def test_a_fraction_of_the_smallest_unit_is_refused() -> None:
    with pytest.raises(MoneyError, match="more decimals than ISK allows"):
        from_minor(50001, "ISK", 2)


def test_an_amount_that_grows_too_large_on_the_way_is_refused() -> None:
    with pytest.raises(MoneyError, match="out of range"):
        from_minor(AMOUNT_MAX, "KWD", 2)


@pytest.mark.parametrize(("code", "currency"), [("gbp", "GBP"), ("GBP", "GBP"), ("jPy", "JPY")])
def test_a_currency_is_three_letters_in_either_case(code: str, currency: str) -> None:
    assert currency_of(code) == currency


@pytest.mark.parametrize("code", ["", "GB", "GBPS", "G1P", "£££", "\uff27BP", None, 826, "GBP\n"])
def test_anything_else_is_not_a_currency(code: object) -> None:
    with pytest.raises(MoneyError):
        currency_of(code)


@pytest.mark.parametrize(("currency", "decimals"), [("GBP", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("ZZZ", 2)])
def test_decimals_are_those_of_iso_4217_and_two_where_unknown(currency: str, decimals: int) -> None:
    assert decimals_of(currency) == decimals


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [(1250, "GBP", "12.50"), (-5, "GBP", "-0.05"), (500, "JPY", "500"), (-7, "JPY", "-7"), (1, "KWD", "0.001")],
)
def test_minor_units_are_written_in_major_units(minor: int, currency: str, text: str) -> None:
    assert to_decimal(minor, currency) == text


@given(st.integers(-AMOUNT_MAX, AMOUNT_MAX), CURRENCIES)
def test_writing_and_reading_an_amount_gives_it_back(minor: int, currency: str) -> None:
    assert from_decimal(to_decimal(minor, currency), currency) == minor


@given(st.text() | st.decimals() | st.integers())
def test_reading_is_exact_or_refused(amount: object) -> None:
    try:
        minor = from_decimal(amount, "GBP")
    except MoneyError:
        return
    assert Decimal(minor) == Decimal(amount) * 100  # type: ignore[arg-type]
