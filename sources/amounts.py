"""Amounts as gateways write them: decimals, or whole minor units, counted with decimals not always of ISO 4217."""

from collections.abc import Mapping
from typing import Annotated, TypeAlias

from pydantic import Field

from ledger.money import MoneyError, currency_of, decimals_of, from_decimal, from_minor

Decimals: TypeAlias = dict[Annotated[str, Field(pattern=r"^[A-Z]{3}$")], Annotated[int, Field(ge=0, le=4)]]
"""A setting: with how many decimals a gateway counts the currencies where it differs from ISO 4217."""


def minor_units(value: object, currency: object, decimals: Mapping[str, int]) -> tuple[int, str]:
    """ISO minor units, never negative, and the ISO code of the currency. Raises MoneyError."""
    code = currency_of(currency)
    minor = from_minor(value, code, decimals.get(code, decimals_of(code)))
    if minor < 0:
        raise MoneyError("amount is negative")
    return minor, code


def major_units(value: object, currency: object) -> tuple[int, str]:
    """ISO minor units of a decimal, never negative, and the ISO code of the currency. Raises MoneyError."""
    code = currency_of(currency)
    minor = from_decimal(value, code)
    if minor < 0:
        raise MoneyError("amount is negative")
    return minor, code
