"""Orders on which all is done rightly: what fails is made again, and however it is told, both sides agree."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.derive import derive
from ledger.facts import Fact
from ledger.instants import SECOND
from ledger.money import to_decimal
from sources.base import Event
from storage.database import NewEvent
from tests.sync.build import LATER, RULES, SOURCES, at, order, refund

TOTAL = 10000


class Story:
    """An order over 100.00 GBP: what is done about it, and the events that tell."""

    def __init__(self) -> None:
        self.events: list[NewEvent] = []
        self.hours = 1
        self.recorded = 0
        self.cancelled = False

    def gateway_tells(self, number: int, amount: int, made: int, after: int = 0, status: str = "succeeded") -> None:
        more: dict[str, Any] = {"status": status, "created": int(at(made) // SECOND), "key": f"evt_{len(self.events)}"}
        self.events.append(refund(number, amount, made + after, **more))

    def shop_tells(self, hours: int, *, amount: bool) -> None:
        status = {0: "Paid", TOTAL: "Refunded"}.get(self.recorded, "PartiallyRefunded")
        ended = "Cancelled" if self.cancelled else "Complete"
        refunded = to_decimal(self.recorded, "GBP") if amount else None
        more = {"PaymentStatus": status, "OrderStatus": ended, "key": f"order {len(self.events)}"}
        self.events.append(order(1, refunded, hours, **more))
        self.hours = max(self.hours, hours) + 1


@st.composite
def stories(draw: st.DrawFn) -> Story:
    story = Story()
    story.shop_tells(1, amount=False)
    for number in range(draw(st.integers(1, 5))):
        amount = min(draw(st.sampled_from((500, 1000, 1500, TOTAL))), TOTAL - story.recorded)
        if not amount:
            break
        made, recorded = (story.hours + draw(st.integers(0, 20)) for _ in "ab")
        if draw(st.booleans()):
            story.gateway_tells(2 * number, amount, made, status="pending")
        story.gateway_tells(2 * number, amount, made, after=draw(st.integers(0, 30)))
        if draw(st.booleans()):
            story.gateway_tells(2 * number, amount, made, after=80, status="failed")
            story.gateway_tells(2 * number + 1, amount, made + 90)
        story.recorded += amount
        story.shop_tells(recorded, amount=True)
        if draw(st.booleans()):
            story.cancelled = story.cancelled or draw(st.booleans())
            story.shop_tells(story.hours, amount=False)
        story.hours = max(story.hours, made + 1)
    return story


def facts_of(event: NewEvent) -> list[Fact]:
    told = Event(0, event.source, event.key or "", event.type, event.body, event.received_at)
    return SOURCES[event.source].interpret(told)


@settings(max_examples=100)
@given(stories(), st.data())
def test_what_is_made_and_recorded_alike_agrees(story: Story, data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(story.events), max_size=3))
    arriving = data.draw(st.permutations([*story.events, *again]))
    entries = derive([fact for event in arriving for fact in facts_of(event)], RULES, LATER).entries
    assert {e.status for e in entries if e.reason is None} <= {"matched", "closed"}
    assert sum(e.gateway_amount or 0 for e in entries) == story.recorded
    assert sum(e.storefront_amount or 0 for e in entries) == story.recorded
    asked_for = [(e.reason, e.expected_amount) for e in entries if e.reason]
    owed = TOTAL - story.recorded if story.cancelled else 0
    assert asked_for == ([("cancelled_not_refunded", owed)] if owed else [])
