"""The board for finance and for whoever is on call: which refunds do not agree, how much, since when."""

from typing import Any

from deploy.grafana.panels import CONSOLE, board, graph, heat, number

_HERE = 'source=~"$source"'
_MONEY = 'currency=~"$currency"'
_LAG = f"sum by (le) (increase(refund_ledger_refund_lag_seconds_bucket{{{_HERE}}}[$__range]))"
_JUDGED = "sum(increase(refund_ledger_judged_refunds_total[$__range]))"
_AGREED = 'sum(increase(refund_ledger_judged_refunds_total{outcome="matched"}[$__range]))'
_RETURNED = f"sum by (currency) (increase(refund_ledger_matched_amount_total{{{_MONEY}}}[$__range]))"
_OPEN = f"sum by (currency) (refund_ledger_unmatched_amount{{{_MONEY}}})"
_BY_REASON = f"{CONSOLE}?reason=${{__field.labels.reason}}"
_BY_BOTH = f"{_BY_REASON}&source=${{__field.labels.source}}"


def refunds() -> dict[str, Any]:
    """The board *Refunds*."""
    return board(
        "refund-ledger-refunds",
        "Refund Ledger / Refunds",
        "Which refunds do not agree between gateway and storefront, how much money, since when.",
        {"Now": _now(), "Unmatched": _unmatched(), "Matched": _matched()},
    )


def _now() -> list[Any]:
    return [
        number(
            "Unmatched refunds",
            "Entries on which the two sides do not agree, or one side is missing, after the grace period.",
            "short",
            (f"sum(refund_ledger_unmatched_refunds{{{_HERE}}}) or vector(0)", ""),
            red_from=1,
            link=CONSOLE,
        ),
        number(
            "Unmatched amount",
            "Money that those entries are about, for each currency; unknown amounts are left out.",
            "short",
            (_OPEN, "{{currency}}"),
            link=CONSOLE,
        ),
        number(
            "Oldest open",
            "Since when the oldest unmatched entry waits, counted from its first side.",
            "s",
            (f"time() - min(refund_ledger_oldest_unmatched_timestamp_seconds{{{_HERE}}})", ""),
            red_from=3 * 86400,
            link=CONSOLE,
        ),
        number(
            "Pending",
            "Entries whose grace period still runs, or whose gateway has not finished.",
            "short",
            (f'sum(refund_ledger_entries{{{_HERE}, status="pending"}}) or vector(0)', ""),
        ),
    ]


def _unmatched() -> list[Any]:
    return [
        graph(
            "Unmatched by reason",
            "How many entries each reason has. A click leads to them.",
            "short",
            (f"sum by (source, reason) (refund_ledger_unmatched_refunds{{{_HERE}}})", "{{source}} {{reason}}"),
            link=_BY_BOTH,
        ),
        graph(
            "Unmatched amount by reason",
            "Money at stake, in major units of its currency. Not divided by source.",
            "short",
            (f"sum by (currency, reason) (refund_ledger_unmatched_amount{{{_MONEY}}})", "{{currency}} {{reason}}"),
            link=_BY_REASON,
        ),
        graph(
            "Ageing",
            "Age of the oldest unmatched entry of each source and reason. A line that only rises is work nobody does.",
            "s",
            (
                f"time() - min by (source, reason) (refund_ledger_oldest_unmatched_timestamp_seconds{{{_HERE}}})",
                "{{source}} {{reason}}",
            ),
            link=_BY_BOTH,
        ),
        graph(
            "Entries by status",
            "The whole ledger. Closed are entries whose facts came to nothing, resolved those that an operator closed.",
            "short",
            (f"sum by (status) (refund_ledger_entries{{{_HERE}}})", "{{status}}"),
        ),
    ]


def _matched() -> list[Any]:
    return [
        number(
            "Matched rate by count",
            "Of the refunds whose time was up in this range: the share that agreed on both sides. All sources.",
            "percentunit",
            (f"{_AGREED} / {_JUDGED}", ""),
        ),
        number(
            "Matched rate by amount",
            "Money matched in this range, of that and what is unmatched now.",
            "percentunit",
            (f"{_RETURNED} / ({_RETURNED} + ({_OPEN} or 0 * {_RETURNED}))", "{{currency}}"),
        ),
        number(
            "Lag, median",
            "Time between the two sides of a matched refund, by the clocks of the sources.",
            "s",
            (f"histogram_quantile(0.5, {_LAG})", ""),
        ),
        number(
            "Matched on a status alone",
            "Matches where the storefront told no amount: both sides are there, the sums are unproven.",
            "short",
            (f"sum(refund_ledger_unverified_entries{{{_HERE}}}) or vector(0)", ""),
        ),
        graph(
            "Lag",
            "Half, 9 of 10 and 99 of 100 refunds were on both sides within this time.",
            "s",
            *((f"histogram_quantile({q}, {_LAG})", f"{q * 100:g} %") for q in (0.5, 0.9, 0.99)),
        ),
        heat(
            "Lag, heat map",
            "How many refunds matched with which lag.",
            "s",
            f"sum by (le) (increase(refund_ledger_refund_lag_seconds_bucket{{{_HERE}}}[$__rate_interval]))",
        ),
    ]
