"""What operators decide: checked, in the journal, in effect, in the history."""

import asyncio

import pytest
from sqlalchemy import select

import storage.decisions
from ledger.facts import Decision, decode
from ledger.instants import DAY, to_rfc3339
from storage.schema import journal
from tests.console.harness import UNKNOWN_ID, Desk
from tests.ledger.build import LATER, at, order, refund

STRAY = refund("re_1", payment_ids=("pi_9",))
TOMORROW = to_rfc3339(LATER + DAY)


async def decisions(desk: Desk) -> list[Decision]:
    """Those in the journal."""
    async with desk.database.read() as conn:
        bodies = await conn.scalars(select(journal.c.body).where(journal.c.via == "operator").order_by(journal.c.id))
        found = [decode(body.decode()) for body in bodies]
    return [fact for fact in found if isinstance(fact, Decision)]


async def test_an_entry_is_resolved_with_a_reason_and_a_name(desk: Desk) -> None:
    await desk.tell(STRAY)
    entry = await desk.entry()
    async with desk.followed():
        answer = await desk.decide(entry["id"], "resolve", reason="  refund of a phone order ")
    assert answer.status_code == 200
    resolution = {"by": "ann", "reason": "refund of a phone order", "at": to_rfc3339(LATER)}
    shown = answer.json()
    assert (shown["status"], shown["resolution"], shown["suggestions"]) == ("resolved", resolution, [])
    last = (await desk.get(f"/api/v1/entries/{entry['id']}"))["history"][-1]
    assert (last["actor"], last["status"], last["at"]) == ("ann", "resolved", to_rfc3339(LATER))
    assert (last["decision"]["action"], last["decision"]["text"]) == ("resolve", "refund of a phone order")


async def test_a_resolved_entry_is_reopened(desk: Desk) -> None:
    await desk.tell(STRAY)
    entry = await desk.entry()
    async with desk.followed():
        await desk.decide(entry["id"], "resolve", reason="done")
        answer = await desk.decide(entry["id"], "reopen")
    assert (answer.status_code, answer.json()["status"]) == (200, "unmatched")
    assert answer.json()["resolution"] is None


async def test_a_clock_that_stands_still_keeps_decisions_in_order(desk: Desk) -> None:
    await desk.tell(STRAY)
    entry = await desk.entry()
    async with desk.followed():
        for _ in range(5):
            assert (await desk.decide(entry["id"], "resolve", reason="done")).json()["status"] == "resolved"
            assert (await desk.decide(entry["id"], "reopen")).json()["status"] == "unmatched"


async def test_a_link_pairs_a_refund_with_its_order_and_an_unlink_takes_it_back(desk: Desk) -> None:
    await desk.tell(STRAY, order("partially_refunded", 1500))
    stray = next(e for e in desk.expected() if e.order_id is None)
    async with desk.followed():
        linked = await desk.decide(stray.id, "link", source="shop", order_id="1001")
        assert (linked.status_code, linked.json()["status"], linked.json()["order_id"]) == (200, "matched", "1001")
        again = await desk.decide(linked.json()["id"], "unlink")
    assert (again.status_code, again.json()["order_id"], again.json()["reason"]) == (200, None, "order_unknown")
    history = (await desk.get(f"/api/v1/entries/{again.json()['id']}"))["history"]
    told = {line["decision"]["action"]: line["decision"]["order_id"] for line in history if line["decision"]}
    assert told == {"link": "1001", "unlink": None}


async def test_an_entry_is_assigned_snoozed_and_noted(desk: Desk) -> None:
    await desk.tell(STRAY)
    entry = await desk.entry()
    async with desk.followed():
        assert (await desk.decide(entry["id"], "assign", to="Bea")).json()["assigned_to"] == "Bea"
        assert (await desk.decide(entry["id"], "snooze", until=TOMORROW)).json()["snoozed_until"] == TOMORROW
        noted = await desk.decide(entry["id"], "note", text="asked the bank")
        assert (noted.status_code, noted.json()["status"]) == (200, "unmatched")
        assert (await desk.decide(entry["id"], "assign", to=None)).json()["assigned_to"] is None
        assert (await desk.decide(entry["id"], "snooze", until=None)).json()["snoozed_until"] is None
    history = (await desk.get(f"/api/v1/entries/{entry['id']}"))["history"]
    assert [d["action"] for line in history if (d := line["decision"])] == [
        "assign", "snooze", "note", "assign", "snooze",
    ]  # fmt: skip
    assert [d["text"] for line in history if (d := line["decision"]) and d["action"] == "note"] == ["asked the bank"]
    changes = [line["change"]["snoozed_until"] for line in history if "snoozed_until" in line["change"]]
    assert [None, TOMORROW] in changes


async def test_a_former_id_is_decided_about_as_the_current_entry(desk: Desk) -> None:
    await desk.tell(order("partially_refunded", 1500))
    [former] = desk.expected()
    await desk.tell(refund("re_1", 1200))
    async with desk.followed():
        answer = await desk.decide(former.id, "resolve", reason="the rest went as a voucher")
    [current] = desk.expected()
    assert (answer.status_code, answer.json()["id"], answer.json()["status"]) == (200, current.id, "resolved")


async def test_a_decision_that_sync_has_not_seen_yet_is_202_and_counts_later(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage.decisions, "WAIT_SECONDS", 0.0)
    await desk.tell(STRAY)
    entry = await desk.entry()
    answer = await desk.decide(entry["id"], "resolve", reason="done")
    assert (answer.status_code, answer.json()["status"]) == (202, "unmatched")
    await desk.catch_up()
    assert (await desk.entry())["status"] == "resolved"


async def test_a_resolution_does_not_fit_an_entry_that_changed_at_that_moment(desk: Desk) -> None:
    await desk.tell(STRAY)
    entry = await desk.entry()
    await desk.tell(order("partially_refunded", 1500, transactions=("pi_9",)), pair=False)
    async with desk.followed():
        answer = await desk.decide(entry["id"], "resolve", reason="a phone order")
    assert answer.status_code == 409
    assert "changed at the same moment and is matched" in answer.json()["detail"]


async def test_of_two_operators_at_once_both_hear_what_became_of_it(desk: Desk) -> None:
    await desk.tell(STRAY, order("partially_refunded", 1500))
    stray = next(e for e in desk.expected() if e.order_id is None)
    async with desk.followed():
        answers = await asyncio.gather(
            desk.decide(stray.id, "link", source="shop", order_id="1001"),
            desk.decide(stray.id, "resolve", reason="a phone order"),
        )
    linked, resolved = (answer.status_code for answer in answers)
    assert linked == 200
    assert resolved in (200, 409)  # by which of the two was in force when sync looked
    assert (await desk.get(f"/api/v1/entries/{stray.id}"))["status"] == "matched"


UNFIT: list[tuple[str, dict[str, object], str]] = [
    ("resolve", {"reason": "done"}, "only a pending or unmatched entry can be resolved, and this one is matched"),
    ("reopen", {}, "only a resolved entry can be reopened, and this one is matched"),
    ("unlink", {}, "no operator has linked this entry"),
]


async def test_what_does_not_fit_the_entry_is_409_and_leaves_no_trace(desk: Desk) -> None:
    await desk.tell(order("partially_refunded", 1500), refund("re_1"))
    for action, body, why in UNFIT:
        answer = await desk.decide((await desk.entry())["id"], action, **body)
        assert answer.status_code == 409
        assert why in answer.json()["detail"]
    assert await decisions(desk) == []


async def test_only_a_gateway_refund_can_be_linked(desk: Desk) -> None:
    await desk.tell(order("partially_refunded", 1500))
    answer = await desk.decide((await desk.entry())["id"], "link", source="shop", order_id="1001")
    assert answer.status_code == 409
    assert "this entry has none" in answer.json()["detail"]


SAID_WRONG: list[tuple[str, dict[str, object], str]] = [
    ("resolve", {}, "reason: is missing"),
    ("resolve", {"reason": " \t"}, "reason: is blank"),
    ("resolve", {"reason": 1}, "reason: has to be a text"),
    ("resolve", {"reason": "x" * 1001}, "reason: is longer than 1000 characters"),
    ("resolve", {"reason": "a\x1b[2Jb"}, "reason: holds a line break or another control character"),
    ("resolve", {"reason": "a\nb"}, "reason: holds a line break"),
    ("resolve", {"reason": "a\x00b"}, "reason: holds a line break"),
    ("resolve", {"reason": "a\u202eb"}, "reason: holds a line break"),
    ("resolve", {"reason": "done", "actor": "bob"}, "'actor': is not a parameter here"),
    ("reopen", {"reason": "no"}, "'reason': is not a parameter here"),
    ("link", {"source": "shop"}, "order_id: is missing"),
    ("link", {"source": "shop", "order_id": ""}, "order_id: is blank"),
    ("link", {"source": "shop", "order_id": "1002"}, "order_id: this storefront has told of no such order"),
    ("link", {"source": "stripe", "order_id": "1001"}, "order_id: this storefront has told of no such order"),
    ("snooze", {}, "until: is missing; give a text, or null for none"),
    ("snooze", {"until": "soon"}, "until: has to be a time as"),
    ("snooze", {"until": ""}, "until: has to be a time as"),
    ("snooze", {"until": to_rfc3339(at(0))}, "until: is in the past"),
    ("assign", {}, "to: is missing; give a text, or null for none"),
    ("assign", {"to": "x" * 256}, "to: is longer than 255 characters"),
    ("note", {"text": ""}, "text: is blank"),
]


async def test_what_is_said_wrong_is_told_with_its_mend(desk: Desk) -> None:
    await desk.tell(STRAY, order())
    stray = next(e for e in desk.expected() if e.order_id is None)
    for action, body, named in SAID_WRONG:
        answer = await desk.decide(stray.id, action, **body)
        assert answer.status_code == 400
        assert named in answer.json()["detail"]
    assert await decisions(desk) == []


NO_DECISIONS = [
    b"reason=done",
    b"[]",
    b'"done"',
    b"\xff",
    b'{"reason": "\\ud800"}',
    b"[" * 50_000,
    b'{"reason": ' + b"9" * 5000 + b"}",
]


async def test_a_body_that_is_no_decision_is_400(desk: Desk) -> None:
    await desk.tell(STRAY)
    entry = await desk.entry()
    for body in NO_DECISIONS:
        answer = await desk.operator.post(f"/api/v1/entries/{entry['id']}/resolve", content=body)
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_body_that_is_too_large_is_413(desk: Desk) -> None:
    answer = await desk.operator.post(f"/api/v1/entries/{UNKNOWN_ID}/note", content=b" " * 70_000)
    assert answer.status_code == 413


async def test_nothing_is_decided_about_an_unknown_entry(desk: Desk) -> None:
    for unknown in (UNKNOWN_ID, "nothing"):
        assert (await desk.decide(unknown, "note", text="hello")).status_code == 404
    assert await decisions(desk) == []


async def test_a_decision_is_kept_as_it_was_made(desk: Desk) -> None:
    await desk.tell(STRAY)
    [entry] = desk.expected()
    async with desk.followed():
        await desk.decide(entry.id, "note", text="Zürich 🧾")
    [decision] = await decisions(desk)
    assert (decision.actor, decision.at, decision.text) == ("ann", LATER, "Zürich 🧾")
    assert (decision.entry_id, decision.anchor, decision.fingerprint) == (entry.id, entry.anchor, entry.fingerprint)
