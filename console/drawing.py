"""Templates, and how amounts, times and words are written in them. Everything is escaped."""

from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ledger.instants import DAY, SECOND, Instant, to_rfc3339
from ledger.money import to_decimal

_STATIC = Path(__file__).with_name("static")
STATIC = {file.name: file.read_bytes() for file in sorted(_STATIC.iterdir())}
"""The files that pages refer to."""
_VERSION = sha256(b"".join(STATIC.values())).hexdigest()[:12]

PAGE_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'",
    # With no-referrer a browser would send its forms without an origin.
    "referrer-policy": "same-origin",
}
"""What every page is answered with, beside what the guard adds to every answer."""

REASONS = {
    "missing_in_storefront": "Missing in storefront",
    "missing_in_gateway": "Missing in gateway",
    "refund_failed": "Refund failed",
    "amount_mismatch": "Amounts differ",
    "currency_mismatch": "Currencies differ",
    "cancelled_not_refunded": "Cancelled, not refunded",
    "over_refunded": "Over-refunded",
    "order_unknown": "Order unknown",
    "order_ambiguous": "Several orders fit",
}
_DIRECTIONS = dict.fromkeys(
    map(ord, "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"), "\ufffd"
)
_UNITS = ((2, DAY, "d"), (1, 3_600 * SECOND, "h"), (1, 60 * SECOND, "min"), (1, SECOND, "s"))


def drawn(template: str, **values: object) -> str:
    """The template with these values."""
    return _TEMPLATES.get_template(template).render(values)


def money(minor: int | None, currency: str) -> str:
    """As "1,240.50 GBP"; a dash where it is not known."""
    if minor is None:
        return "\N{EN DASH}"
    whole, point, decimals = to_decimal(abs(minor), currency).partition(".")
    sign = "\N{MINUS SIGN}" if minor < 0 else ""
    return f"{sign}{int(whole):,}{point}{decimals}\N{NO-BREAK SPACE}{currency}".rstrip("\N{NO-BREAK SPACE}")


def span(microseconds: int) -> str:
    """As "12 d" or "36 h": the largest unit that there is enough of, rounded down."""
    for least, size, unit in _UNITS:
        if (count := microseconds // size) >= least:
            return f"{count}\N{NO-BREAK SPACE}{unit}"
    return "moments"


def moment(instant: Instant) -> str:
    """As "2026-11-20 10:00"; UTC, which the page says once."""
    return to_rfc3339(instant)[:16].replace("T", " ")


def stamp(text: str) -> str:
    """A time of the API as `moment` writes it."""
    return text[:16].replace("T", " ")


def changed(value: object) -> str:
    """A value of the history."""
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return REASONS.get(str(value), str(value).lower() if isinstance(value, bool) else str(value))


def plural(count: int, one: str, many: str = "") -> str:
    """As "1 entry", "1,200 entries"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _in_its_order(value: object) -> object:
    """The value, its controls of writing direction made visible: a name must not turn round the amount beside it."""
    # What is markup has been through here part by part.
    return value.translate(_DIRECTIONS) if isinstance(value, str) and not isinstance(value, Markup) else value


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("console"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_in_its_order,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["version"] = _VERSION
    made.globals["reasons"] = REASONS
    for function in (money, span, moment, stamp, changed, plural):
        made.filters[function.__name__] = function
    made.filters["rfc"] = to_rfc3339
    return made


_TEMPLATES = _environment()
