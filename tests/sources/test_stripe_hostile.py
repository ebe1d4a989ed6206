"""Any value in any place of Stripe's events: facts, or NotUnderstood, and nothing else."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledger.facts import encode
from sources.base import NotUnderstood
from tests.sources.stripe_events import STRIPE, event, interpret, messages

SNAPSHOTS = [event(name) for name in STRIPE.used_events if not name.startswith("v1.")]
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
    assert all(encode(fact).isascii() and "\\u0000" not in encode(fact) for fact in facts)
    assert all("\\ud8" not in encode(fact) for fact in facts)


@given(JUNK)
def test_any_json_is_named_or_set_aside(value: object) -> None:
    body = json.dumps(value).encode()

    assert len(messages(body)) == 1
