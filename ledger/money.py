"""Money as integer minor units with its ISO 4217 currency. Never a float.

Inside the ledger an amount is always counted in the currency's ISO 4217 minor unit (cents, pence, fils; whole yen).
Gateways that count differently are converted on the way in, exactly or not at all.
"""

import re
from decimal import Context, Decimal

# ISO 4217: every active currency that does not have two decimals.
_DECIMALS = dict.fromkeys(
    ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV",
     "XAF", "XOF", "XPF"), 0,
) | dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3) | {"CLF": 4, "UYW": 4}  # fmt: skip

_CURRENCY = re.compile(r"[A-Za-z]{3}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?")
# Wide enough for every number that passes the check of its size: nothing is ever rounded.
_EXACT = Context(prec=70)

AMOUNT_MAX = 10**15
"""No refund is larger, in minor units; a larger number is an error or an attack, and would not fit a 64-bit sum."""


class MoneyError(ValueError):
    """An amount or a currency that cannot be taken exactly."""


def currency_of(code: object) -> str:
    """The upper-case ISO code of `code`, which a gateway may write in either case."""
    if not isinstance(code, str) or not _CURRENCY.fullmatch(code):
        raise MoneyError("currency is not three letters")
    return code.upper()


def decimals_of(currency: str) -> int:
    """How many decimals the currency has by ISO 4217; two for a code that the table does not know."""
    return _DECIMALS.get(currency, 2)


def from_decimal(amount: object, currency: str) -> int:
    """ISO minor units of an amount in major units: a Decimal, an int, or a decimal string. Exact or MoneyError."""
    if isinstance(amount, bool | float) or not isinstance(amount, Decimal | int | str):
        raise MoneyError("amount is not a decimal number")
    if isinstance(amount, str) and not _NUMBER.fullmatch(amount):
        raise MoneyError("amount is not a decimal number")
    number = Decimal(amount)
    # The size is checked before any arithmetic: scaling 1e999999999 would take for ever.
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -30 or abs(number.adjusted()) > 30:
        raise MoneyError("amount is out of range")
    return _whole(number.scaleb(decimals_of(currency), _EXACT), currency)


def from_minor(amount: object, currency: str, decimals: int) -> int:
    """ISO minor units of an integer that a gateway counts with `decimals` decimals. Exact or MoneyError."""
    if isinstance(amount, bool) or not isinstance(amount, int):
        raise MoneyError("amount is not a whole number of minor units")
    if abs(amount) > AMOUNT_MAX:
        raise MoneyError("amount is out of range")
    if decimals == decimals_of(currency):
        return amount
    return _whole(Decimal(amount).scaleb(decimals_of(currency) - decimals), currency)


def to_decimal(amount: int, currency: str) -> str:
    """The amount in major units as a plain decimal string, as "12.50" or "-0.05" or "500" for yen."""
    decimals = decimals_of(currency)
    sign, digits = ("-" if amount < 0 else ""), str(abs(amount)).rjust(decimals + 1, "0")
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}" if decimals else f"{sign}{digits}"


def _whole(minor: Decimal, currency: str) -> int:
    if minor != minor.to_integral_value():
        raise MoneyError(f"amount has more decimals than {currency} allows")
    if abs(minor) > AMOUNT_MAX:
        raise MoneyError("amount is out of range")
    return int(minor)
