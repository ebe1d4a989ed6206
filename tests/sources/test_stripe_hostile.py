"""Any value in any place of Stripe's events: facts, or NotUnderstood, and nothing else."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledger.facts import decode, encode
from sources.base import Event, NotUnderstood
from tests.sources.questions import open_questions
from tests.sources.stripe_events import STRIPE, event, interpret, messages

SNAPSHOTS = [event(name) for name in STRIPE.used_events if not name.startswith("v1.")]
CHARGE = event("charge.refunded")["data"]["object"]
STATES = [
    ("api.refund", event("refund.created", charge=CHARGE)["data"]["object"]),
    ("api.charge", CHARGE),
    ("api.payment_intent", event("payment_intent.canceled")["data"]["object"]),
    ("api.dispute", event("charge.dispute.created")["data"]["object"]),
]
THIN = {"id": "evt_1", "type": "v1.refund.created", "livemode": False, "context": "acct_1"}
THIN |= {"related_object": {"id": "re_1", "type": "refund", "url": "/v1/refunds/re_1"}}
JUNK: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["\ud800", "a\0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def places(value: dict[str, Any] | list[Any]) -> Iterator[Callable[[Any], None]]:
    """A setter for every value inside."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield lambda new, key=key: value.__setitem__(key, new)  # type: ignore[misc]
        if isinstance(inner, dict | list):
            yield from places(inner)


@given(st.sampled_from(SNAPSHOTS), st.data())
def test_any_value_in_any_place_gives_facts_or_is_not_understood(payload: dict[str, Any], data: st.DataObject) -> None:
    payload = deepcopy(payload)
    for _ in range(data.draw(st.integers(1, 3))):
        data.draw(st.sampled_from(list(places(payload))))(data.draw(JUNK))

    try:
        facts = interpret(payload)
    except NotUnderstood:
        return
    assert all(decode(encode(fact)) == fact and "\\u0000" not in encode(fact) for fact in facts)
    assert all("\\ud8" not in encode(fact) for fact in facts)
    assert all(
        about.isascii()
        for about in open_questions(STRIPE, Event(1, "stripe", "k", "", json.dumps(payload).encode(), 0))
    )


@given(st.sampled_from([*STATES, ("v1.refund.created", THIN)]), st.data())
def test_any_value_in_any_place_of_what_was_polled_is_met_likewise(
    state: tuple[str, dict[str, Any]], data: st.DataObject
) -> None:
    thing = deepcopy(state[1])
    for _ in range(data.draw(st.integers(0, 3))):
        data.draw(st.sampled_from(list(places(thing))))(data.draw(JUNK))
    polled = Event(1, "stripe", "k", state[0], json.dumps(thing).encode(), 0)

    try:
        facts = STRIPE.interpret(polled)
    except NotUnderstood:
        return
    assert all(decode(encode(fact)) == fact and "\\u0000" not in encode(fact) for fact in facts)
    assert all(about.isascii() for about in open_questions(STRIPE, polled))


@given(JUNK)
def test_any_json_is_named_or_set_aside(value: object) -> None:
    body = json.dumps(value).encode()

    assert len(messages(body)) == 1
