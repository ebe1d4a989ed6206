"""The fake of Stripe can say, and be asked, only what Stripe publishes."""

import httpx
import pytest
import stripe

from ledger.instants import DAY, SECOND
from tests.fakes.stripe import KEY, FakeStripe, _published

NOW = 1_790_000_000 * SECOND
ENDPOINT = {"id": "we_1", "created": 1, "enabled_events": [], "livemode": True, "metadata": {}, "url": "https://h"}


def test_an_object_has_every_published_field_and_no_other() -> None:
    made = _published(stripe.WebhookEndpoint, object="webhook_endpoint", status="enabled", **ENDPOINT)

    assert made["description"] is None
    with pytest.raises(AssertionError):
        _published(stripe.WebhookEndpoint, object="webhook_endpoint", **ENDPOINT)
    with pytest.raises(AssertionError):
        _published(stripe.WebhookEndpoint, object="webhook_endpoint", status="enabled", wished=1, **ENDPOINT)
    with pytest.raises(AssertionError):
        _published(stripe.WebhookEndpoint, object="something", status="enabled", **ENDPOINT)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("refunds?limit=1", 200),
        ("refunds?limit=101", 400),
        ("refunds?status=failed", 400),
        ("refunds?starting_after=re_none", 400),
        ("refunds?expand[]=data.amount", 400),
        ("events?" + "&".join(f"types[]=t{i}" for i in range(21)), 400),
        ("refunds/re_none", 404),
        ("nothings", 404),
    ],
)
def test_what_cannot_be_asked_is_refused(path: str, status: int) -> None:
    fake = FakeStripe(NOW)
    fake.refund(fake.pay(10), 1)
    with fake.serving() as base:
        assert httpx.get(f"{base}/v1/{path}", headers={"authorization": f"Bearer {KEY}"}).status_code == status
        assert httpx.get(f"{base}/v1/{path}").status_code == 401


def test_events_leave_the_list_after_thirty_days() -> None:
    fake = FakeStripe(NOW)
    fake.pay(10)
    with fake.serving() as base:
        fake.now += 31 * DAY
        answer = httpx.get(f"{base}/v1/events", headers={"authorization": f"Bearer {KEY}"}).json()

    assert answer == {"object": "list", "data": [], "has_more": False, "url": "/v1/events"}


def test_webhooks_may_be_lost_and_doubled() -> None:
    fake = FakeStripe(NOW, copies=lambda event: {"charge.succeeded": 0}.get(event["type"], 2))
    fake.pay(10)

    assert [event["type"] for event in fake.outbox] == ["payment_intent.succeeded"] * 2
    assert len(fake.events()) == 2
