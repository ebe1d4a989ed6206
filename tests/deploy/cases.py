"""When each alert fires, and what its summary then says; and what is close to it and does not fire."""

from dataclasses import dataclass, field

DAY = 86400


@dataclass(frozen=True)
class Case:
    """Series as promtool writes them (`start+step x how often`, a minute apart), and what follows from them."""

    alert: str
    series: dict[str, str]
    fires: list[tuple[dict[str, str], str]] = field(default_factory=list)
    """Labels and summary; none where the alert keeps quiet."""
    minutes: int = 20


def _unmatched(source: str, reason: str, currency: str = "GBP", amount: str = "100") -> dict[str, str]:
    return {
        f'refund_ledger_unmatched_refunds{{source="{source}",reason="{reason}"}}': "2+0x30",
        f'refund_ledger_unmatched_amount{{currency="{currency}",reason="{reason}"}}': f"{amount}+0x30",
    }


def _oldest(seconds_ago: int) -> dict[str, str]:
    """Opened so long before the end of the 20 minutes."""
    name = 'refund_ledger_oldest_unmatched_timestamp_seconds{source="stripe",reason="missing_in_storefront"}'
    return {name: f"{1200 - seconds_ago}+0x30"}


def _webhooks(outcome: str, values: str) -> dict[str, str]:
    return {f'refund_ledger_webhooks_total{{source="stripe",outcome="{outcome}"}}': values}


def _judged(matched: str, unmatched: str) -> dict[str, str]:
    name = "refund_ledger_judged_refunds_total"
    return {f'{name}{{outcome="matched"}}': matched, f'{name}{{outcome="unmatched"}}': unmatched}


def _reason(alert: str, reason: str, what: str, source: str = "stripe") -> list[Case]:
    told = f"2 of {source}: {what}. {reason} over all sources: 100.00 GBP"
    return [
        Case(alert, _unmatched(source, reason), [({"source": source, "reason": reason}, told)]),
        Case(alert, _unmatched(source, "missing_in_storefront")),
    ]


_SLOW = 'refund_ledger_event_to_entry_seconds_bucket{le="%s"}'
_DOWN = 'up{job="refund-ledger-%s",instance="a:1"}'
_GIB = 2**30
_MISSING = "missing_in_storefront"
_ALL = "all sources: 100.00 GBP"

CASES = [
    Case(
        "RefundsUnmatchedTooLong",
        _oldest(4 * DAY) | _unmatched("stripe", "missing_in_storefront"),
        [
            (
                {"source": "stripe", "reason": "missing_in_storefront"},
                f"The oldest refund of stripe that is {_MISSING} has waited 4d 0h 0m 0s. {_MISSING} over {_ALL}",
            )
        ],
    ),
    Case("RefundsUnmatchedTooLong", _oldest(2 * DAY)),
    Case(
        "UnmatchedAmountHigh",
        _unmatched("stripe", "missing_in_gateway", amount="600")
        | _unmatched("anet", "order_unknown", amount="600.5")
        | _unmatched("stripe", "refund_failed", "CHF", "1001"),
        [
            ({"currency": currency}, f"{amount} {currency} in refunds on which gateway and storefront do not agree")
            for amount, currency in (("1200.50", "GBP"), ("1001.00", "CHF"))
        ],
    ),
    Case(
        "UnmatchedAmountHigh",
        _unmatched("stripe", "missing_in_gateway", amount="1000")
        | _unmatched("stripe", "refund_failed", "JPY", "149999")
        | _unmatched("stripe", "order_unknown", "CHF", "1000"),
    ),
    *_reason("RefundAmountMismatch", "amount_mismatch", "the gateway returned another amount than was recorded"),
    *_reason("RefundAmountMismatch", "currency_mismatch", "the gateway returned another amount than was recorded"),
    *_reason(
        "CancelledNotRefunded",
        "cancelled_not_refunded",
        "orders cancelled after payment, and the money has not gone back",
        "shop",
    ),
    *_reason("RefundFailedAfterRecorded", "refund_failed", "refunds recorded on the order, and failed at the gateway"),
    *_reason("RefundExceedsCapture", "over_refunded", "more money went back than was captured"),
    *_reason("RefundOrderUnknown", "order_unknown", "refunds that no single order explains"),
    *_reason("RefundOrderUnknown", "order_ambiguous", "refunds that no single order explains"),
    Case(
        "RefundAgreementBurningFast",
        _judged("0+9x400", "0+1x400"),
        [({}, "10% of the refunds whose time was up in the last 6 hours do not agree on both sides")],
        minutes=400,
    ),
    Case("RefundAgreementBurningFast", _judged("0+99x400", "0+1x400"), minutes=400),
    # One of two is half of them, and still only one.
    Case("RefundAgreementBurningFast", _judged("0+0x380 1+0x20", "0+0x380 1+0x20"), minutes=400),
    Case(
        "RefundAgreementBurningSlow",
        _judged("0+49x600", "0+1x600"),
        [({}, "2% of the refunds whose time was up in the last 3 days do not agree on both sides")],
        minutes=600,
    ),
    Case("RefundAgreementBurningSlow", _judged("0+199x600", "0+1x600"), minutes=600),
    Case(
        "ProcessDown",
        {_DOWN % "sync": "1 1 0+0x20", _DOWN % "listener": "1+0x30", 'up{job="another"}': "0+0x30"},
        [({"job": "refund-ledger-sync", "instance": "a:1"}, "refund-ledger-sync on a:1 does not answer")],
    ),
    Case("ProcessDown", {_DOWN % "sync": "1+0x10 0 0 1+0x10"}),
    Case(
        "StorageRefusing",
        _webhooks("unavailable", "0+2x30"),
        [({"source": "stripe"}, "10 webhooks of stripe in 5 minutes could not be stored")],
    ),
    Case("StorageRefusing", _webhooks("unavailable", "7+0x30") | _webhooks("accepted", "0+50x30")),
    Case(
        "SyncStalled",
        {"refund_ledger_sync_last_success_timestamp_seconds": "0+0x30"},
        [({}, "No sync process has got any work done for 20m 0s")],
    ),
    Case(
        "SyncStalled",
        {
            'refund_ledger_sync_last_success_timestamp_seconds{instance="a"}': "0+0x30",
            'refund_ledger_sync_last_success_timestamp_seconds{instance="b"}': "0+60x30",
        },
    ),
    Case(
        "BacklogGrowing",
        {"refund_ledger_journal_backlog_events": "1100+10x30"},
        [({}, "1300 events wait to be interpreted, and they do not become fewer")],
    ),
    Case("BacklogGrowing", {"refund_ledger_journal_backlog_events": "5000-10x30"}),
    Case("BacklogGrowing", {"refund_ledger_journal_backlog_events": "100+10x30"}),
    Case(
        "EventToEntrySlow",
        {_SLOW % "60": "0+90x40", _SLOW % "300": "0+100x40", _SLOW % "+Inf": "0+100x40"},
        [({}, "1 in 100 events takes longer than 4m 36s until the ledger shows it")],
        minutes=40,
    ),
    Case(
        "EventToEntrySlow",
        {_SLOW % "30": "0+100x40", _SLOW % "60": "0+100x40", _SLOW % "+Inf": "0+100x40"},
        minutes=40,
    ),
    Case(
        "WebhooksRejected",
        _webhooks("unauthenticated", "0+1x60") | _webhooks("accepted", "40+0x60"),
        [
            (
                {"source": "stripe", "outcome": "unauthenticated"},
                "30 webhooks of stripe in 30 minutes failed the check of their signature",
            )
        ],
        minutes=45,
    ),
    # Somebody tries the door while the gateway comes and goes.
    Case(
        "WebhooksRejected",
        _webhooks("unauthenticated", "0+1x60") | _webhooks("accepted", "0+2x60"),
        minutes=45,
    ),
    Case("WebhooksRejected", _webhooks("unauthenticated", "0+0x40 2+0x20"), minutes=45),
    Case(
        "WebhooksSilent",
        {'refund_ledger_recovered_events_total{source="stripe"}': "0+1x400"} | _webhooks("accepted", "9+0x400"),
        [({"source": "stripe"}, "Polling found 360 events of stripe in 6 hours, and not one came as a webhook")],
        minutes=400,
    ),
    Case(
        "WebhooksSilent",
        {'refund_ledger_recovered_events_total{source="stripe"}': "0+1x400"}
        | _webhooks("accepted", "9+0x200 10+0x200"),
        minutes=400,
    ),
    Case(
        "WebhookEndpointWrong",
        {'refund_ledger_endpoint_faults{source="stripe"}': "2+0x30"},
        [({"source": "stripe"}, "2 things are wrong with our webhook endpoint at stripe")],
    ),
    Case("WebhookEndpointWrong", {'refund_ledger_endpoint_faults{source="stripe"}': "0+0x30"}),
    Case(
        "PollingFailing",
        {'refund_ledger_poll_errors_total{source="stripe"}': "0+0.1x150"},
        [({"source": "stripe"}, "12 polls of stripe failed in 2 hours, and none succeeds")],
        minutes=140,
    ),
    Case(
        "PollingFailing",
        {
            'refund_ledger_poll_errors_total{source="stripe"}': "0+0.1x150",
            'refund_ledger_poll_last_success_timestamp_seconds{source="stripe"}': "0+60x150",
        },
        minutes=140,
    ),
    Case(
        "PollLookBackEnding",
        {'refund_ledger_poll_deadline_timestamp_seconds{source="stripe"}': f"{6 * DAY + 1200}+0x30"},
        [({"source": "stripe"}, "In 6d 0h 0m 0s stripe begins to forget events that were not fetched yet")],
    ),
    Case(
        "PollLookBackEnding",
        {'refund_ledger_poll_deadline_timestamp_seconds{source="stripe"}': f"{30 * DAY}+0x30"},
    ),
    Case(
        "DeadLetters",
        {"refund_ledger_dead_letters": "3+0x30"},
        [({}, "3 authentic events could not be understood and are set aside")],
    ),
    Case("DeadLetters", {"refund_ledger_dead_letters": "0+0x30"}),
    Case(
        "DiskFilling",
        {"refund_ledger_storage_free_bytes": f"{_GIB // 2}+0x30"},
        [({}, "512MiB are free on the disk of the database; it is full soon, or within a day at this speed")],
    ),
    Case(
        "DiskFilling",
        {"refund_ledger_storage_free_bytes": f"{12 * _GIB}-{_GIB // 100}x60"},
        [({}, "11.6GiB are free on the disk of the database; it is full soon, or within a day at this speed")],
        minutes=40,
    ),
    Case("DiskFilling", {"refund_ledger_storage_free_bytes": f"{12 * _GIB}+0x30"}),
]
