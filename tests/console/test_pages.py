"""What people see at a browser, and what they do there: the pages without the browser."""

import re
from html import unescape
from typing import Any

import pytest

import storage.decisions
from console.drawing import money, plural, span
from console.exceptions import PAGE_SIZE
from ledger.facts import Decision, Fact
from ledger.instants import DAY, SECOND, to_rfc3339
from storage.database import Database, NewEvent, StorageUnavailable
from storage.decisions import Decided, Intent, decide
from storage.journal import Journal
from tests.console.harness import UNKNOWN_ID, Desk, browsing
from tests.ledger.build import HOUR, LATER, at, order, paid, refund

STRAY = refund("re_1", payment_ids=("pi_9",))
HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>&amp;\u202e\'"'


def words(page: str) -> str:
    """What a page says, without its tags."""
    return " ".join(unescape(re.sub("<[^>]*>", " ", page)).split())


def listed(page: str) -> list[str]:
    """The entries of the list, in order."""
    return re.findall('<a href="/entries/([0-9a-f]{32})">', page)


def on_order(number: int, refunded: int, **more: object) -> list[Fact]:
    """An order on which a refund is recorded that was never made."""
    payment = f"pi_{number}"
    told: dict[str, Any] = {"order_id": str(number), "transactions": (payment,), "order_refs": (str(number),)} | more
    return [paid(10000, payment), order("partially_refunded", refunded, **told)]


async def test_nothing_open_is_said_so(desk: Desk) -> None:
    async with browsing(desk, "vic") as vic:
        assert "Nothing needs you." in await vic.get("/exceptions")
        assert "Nothing is open." in await vic.get("/overview")
        assert "No decisions yet" in words(await vic.get("/audit"))
        assert "What are you looking for?" in await vic.get("/search")
        assert listed(await vic.get("/")) == []


async def test_the_exceptions_are_there_worst_first_with_amount_age_and_why(desk: Desk) -> None:
    await desk.tell(
        STRAY, *on_order(71, 400), *on_order(72, 900), order("partially_refunded", 1000), refund("re_2", 1200)
    )
    by_reason: dict[tuple[str | None, int | None], str] = {(e.reason, e.amount_at_stake): e.id for e in desk.expected()}
    worst = [
        ("missing_in_gateway", 900), ("missing_in_gateway", 400), ("amount_mismatch", 200), ("order_unknown", 1500),
    ]  # fmt: skip
    async with browsing(desk) as ann:
        page = await ann.get("/")
        assert listed(page) == [by_reason[one] for one in worst]
        said = words(page)
        assert "4 entries · 30.00\xa0GBP · oldest 59\xa0d" in said.replace(" GBP", "\xa0GBP").replace(" d", "\xa0d")
        assert "The recorded refund of 9.00 GBP on order 72 of shop has no gateway refund that pays it." in said
        largest = [by_reason["order_unknown", 1500], by_reason["missing_in_gateway", 900]]
        assert listed(await ann.get("/exceptions?order=largest"))[:2] == largest


FILTERS = [
    ("", 3),
    ("reason=order_unknown", 1),
    ("reason=&source=", 3),
    ("reason=missing_in_gateway&source=shop", 2),
    ("source=stripe", 1),
    ("source=.*", 3),
    ("currency=EUR", 1),
    ("currency=USD", 0),
    ("status=pending", 0),
    ("assigned=ann", 0),
    (f"since={to_rfc3339(at(2))}", 2),
    (f"until={to_rfc3339(at(2))}", 1),
]


async def test_filters_stand_in_the_address_as_the_boards_link_to_them(desk: Desk) -> None:
    await desk.tell(STRAY, *on_order(71, 400), *on_order(72, 900, hours=5, currency="EUR"))
    async with browsing(desk, "vic") as vic:
        for query, count in FILTERS:
            assert len(listed(await vic.get(f"/exceptions?{query}"))) == count, query


WRONG = ["reason=x", "status=resolved", "order=x", "source=A", "currency=x", "since=x", "snoozed=x", "page=0", "page=x"]


async def test_a_filter_that_is_none_is_told(desk: Desk) -> None:
    async with browsing(desk, "vic") as vic:
        for query in WRONG:
            page = await vic.get(f"/exceptions?{query}", 400)
            assert query.partition("=")[0] + ":" in words(page)


async def test_many_exceptions_come_in_pages(desk: Desk) -> None:
    await desk.tell(*(refund(f"re_{i}", payment_ids=(f"pi_x{i}",)) for i in range(PAGE_SIZE + 3)))
    async with browsing(desk, "vic") as vic:
        first, second = await vic.get("/exceptions?source=stripe"), await vic.get("/exceptions?source=stripe&page=2")
        assert "/exceptions?source=stripe&amp;page=2" in first
        assert "Page 1 of 2" in first
        assert len({*listed(first), *listed(second)}) == PAGE_SIZE + 3
        assert "There is no page 3." in await vic.get("/exceptions?page=3")


async def test_an_entry_shows_both_sides_and_its_history(desk: Desk) -> None:
    await desk.tell(paid(), order("partially_refunded", 1500), refund("re_1", 1200))
    [entry] = desk.expected()
    async with browsing(desk, "vic") as vic:
        said = words(await vic.get(f"/entries/{entry.id}"))
    for text in ("Amounts differ", "12.00\xa0GBP", "15.00\xa0GBP", "re_1", entry.explanation, "3.00\xa0GBP"):
        assert text.replace("\xa0", " ") in said.replace("\xa0", " ")
    assert "A viewer looks and decides nothing." in said


async def test_each_action_asks_once_says_what_it_did_and_is_in_the_audit_trail(desk: Desk) -> None:
    await desk.tell(STRAY, order("partially_refunded", 1500))
    stray = next(e for e in desk.expected() if e.order_id is None)
    where = f"/entries/{stray.id}"
    async with browsing(desk) as ann, desk.followed():
        assert "It has a larger total, 100.00 GBP" in words(await ann.get(where))
        assert f"Noted on entry {stray.id[:8]}." in await ann.send(f"{where}/note", text="asked the bank")
        assert "Noted on" not in await ann.get(where)
        assert "Assigned to bea" in words(await ann.send(f"{where}/assign", text="bea"))
        assert listed(await ann.get("/exceptions?assigned=bea")) == [stray.id]
        assert "Snoozed until" in await ann.send(f"{where}/snooze", days="7")
        assert stray.id not in listed(await ann.get("/exceptions"))
        assert "1 snoozed" in await ann.get("/exceptions")
        assert listed(await ann.get("/exceptions?snoozed=yes")) == [stray.id]
        assert "over 30 d: 1." in await ann.get("/overview")
        assert "Snoozed until" not in await ann.send(f"{where}/snooze", days="")
        assert "Resolved by ann" in words(await ann.send(f"{where}/resolve", text="a phone order"))
        assert "Order unknown" in await ann.send(f"{where}/reopen")
        linked = await ann.send(f"{where}/link?store=shop&order=1001", store="shop", order="1001")
        assert "Matched" in linked
        entry = re.search(r"Entry ([0-9a-f]{8})", linked)
        assert entry
        assert "Order unknown" in await ann.send(f"{where}/unlink")
        trail = words(await ann.get("/audit"))
        only = words(await ann.get("/audit?action=note"))
    told = ["took the link back", "linked it to order 1001 of shop", "reopened it", "resolved it: a phone order",
            "ended the snooze", "snoozed it until", "assigned it to bea", "noted: asked the bank"]  # fmt: skip
    assert [trail.index(text) for text in told] == sorted(trail.index(text) for text in told)
    assert trail.count(" ann ") == 9  # eight decisions, and who is signed in
    assert ("noted" in only, "resolved" in only) == (True, False)


async def test_many_are_resolved_at_once_and_what_has_changed_meanwhile_is_not(desk: Desk) -> None:
    await desk.tell(STRAY, *on_order(71, 400), *on_order(72, 900))
    ids = [entry.id for entry in desk.expected()]
    question = "/resolve?" + "&".join(f"entry={id_}" for id_ in (*ids, UNKNOWN_ID, "x"))
    async with browsing(desk) as ann, desk.followed():
        page = await ann.get(question)
        assert "Resolve 3 entries" in page
        assert "write a few words" in await ann.send(question, 400, reason=" ")
        seen = re.findall('name="seen" value="([^"]*)"', page)
        csrf = re.findall('name="csrf" value="([^"]*)"', page)[0]
        asked = re.findall('name="entry" value="([^"]*)"', page)
        fields = {"csrf": csrf, "entry": asked, "seen": [*seen[:2], "changed"], "reason": "paid by bank transfer"}
        said = words(await ann.post("/resolve", **fields))
        assert f"Resolved 2 entries. Not resolved: {asked[2][:8]}: the entry has changed since you looked" in said
        assert listed(await ann.get("/exceptions")) == [asked[2]]
        again = words(await ann.post("/resolve", **{**fields, "seen": seen}))
        assert "Resolved 1 entry. Not resolved:" in again
        assert "only a pending or unmatched entry can be resolved" in again
        assert "Nothing is selected" in await ann.get("/resolve")


async def test_what_changes_while_it_is_decided_is_not_decided_about(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.tell(order("partially_refunded", 1500))
    [entry] = desk.expected()

    async def late(database: Database, journal: Journal, intent: Intent) -> Decided:
        await desk.tell(paid(), refund("re_1", 1200))
        return await decide(database, journal, intent)

    monkeypatch.setattr("console.actions.decide", late)
    async with browsing(desk) as ann:
        page = await ann.send(f"/entries/{entry.id}/resolve", 409, text="settled")
        assert "has changed since you looked" in page
        assert "Amounts differ" in page


async def test_of_many_it_is_said_which_could_not_be_stored(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.tell(*on_order(71, 400), *on_order(72, 900))
    ids = [entry.id for entry in desk.expected()]

    async def once(database: Database, journal: Journal, intent: Intent) -> Decided:
        if intent.entry_id == ids[1]:
            raise StorageUnavailable("gone")
        return await decide(database, journal, intent)

    monkeypatch.setattr("console.actions.decide", once)
    async with browsing(desk) as ann, desk.followed():
        said = words(await ann.send("/resolve?" + "&".join(f"entry={id_}" for id_ in ids), reason="by bank transfer"))
        assert f"Resolved 1 entry. Not resolved: {ids[1][:8]}: the database cannot be used now." in said


async def test_an_action_that_does_not_fit_is_asked_again_with_the_reason(desk: Desk) -> None:
    await desk.tell(STRAY, order())
    stray = next(e for e in desk.expected() if e.order_id is None)
    where = f"/entries/{stray.id}"
    async with browsing(desk) as ann:
        assert "Reason: is blank" in await ann.send(f"{where}/resolve", 400, text=" ")
        page = await ann.send(f"{where}/link", 400, store="shop", order="77")
        assert "this storefront has told of no such order" in page
        assert 'value="77"' in page
        assert "no operator has linked this entry" in words(await ann.send(f"{where}/unlink", 409)).lower()
        assert "has changed since you looked" in await ann.send(f"{where}/note", 409, text="x", seen="other")
        assert "Days: has to be one of" in await ann.send(f"{where}/snooze", 400, days="999")
        again = await ann.send(f"{where}/snooze", 409, days="14", seen="other")
        assert '<option value="14" selected>' in again
        assert "nothing at this address" in await ann.get(f"{where}/forget", 404)
        await ann.get(f"/entries/{UNKNOWN_ID}/note", 404)
        assert "No decisions yet" in words(await ann.get("/audit"))


async def test_a_decision_that_sync_has_not_seen_yet_is_said_to_wait(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.tell(STRAY)
    [entry] = desk.expected()
    monkeypatch.setattr(storage.decisions, "WAIT_SECONDS", 0.0)
    async with browsing(desk) as ann:
        page = await ann.send(f"/entries/{entry.id}/resolve", text="done")
        assert "takes effect as soon as the sync process has seen it" in page
        assert "not yet in the ledger" in await ann.get("/audit")
        assert "1 event is not yet interpreted" in words(await ann.get("/exceptions"))


async def test_the_audit_trail_goes_back_page_by_page(desk: Desk) -> None:
    await desk.tell(STRAY)
    [entry] = desk.expected()
    notes = [Decision(f"note-{i}", "note", LATER + i, "ann", f"number {i}.", entry.id, entry.anchor) for i in range(53)]
    await desk.tell(*notes)
    async with browsing(desk, "vic") as vic:
        first = await vic.get("/audit")
        older = re.search(r'href="(/audit\?action=&amp;before=[0-9]+)"', first)
        assert older
        second = await vic.get(unescape(older[1]))
    one, other = ({i for i in range(53) if f"number {i}." in page} for page in (first, second))
    assert (len(one), len(other), one | other) == (50, 3, set(range(53)))


async def test_an_order_shows_both_sides_on_one_time_line_with_its_events(desk: Desk) -> None:
    await desk.tell(paid(hours=0), order(hours=1), order("partially_refunded", 1500, hours=3))
    await desk.tell(refund("re_1", hours=4, status="failed"))
    async with browsing(desk, "vic") as vic:
        page = await vic.get("/orders/shop/1001")
        await vic.get("/orders/shop/1002", 404)
        await vic.get("/orders/stripe/1001", 404)
    line = re.findall(r'<li class="([a-z ]+)">.*?<p class="what">([^<]*)</p>', page, re.DOTALL)
    assert [(side, what.replace("\xa0", " ")) for side, what in line] == [
        ("gateway", "Payment of 100.00 GBP captured"),
        ("storefront", "Paid"),
        ("storefront", "Partially refunded, refunded so far 15.00 GBP"),
        ("gateway bad", "Refund re_1, 15.00 GBP: failed"),
    ]
    assert "Refund failed" in page
    assert page.count("<details>") == 4


FOUND = [("1001", 1, 1), ("re_1", 1, 1), ("pi_1", 1, 1), ("re_9", 0, 1), ("nothing", 0, 0), ("", 0, 0), ("%00", 0, 0)]


async def test_an_order_without_an_entry_says_why_it_has_none(desk: Desk) -> None:
    await desk.tell(order(), order(order_id="1002"), refund("re_1"), order(order_id="1003", transactions=()))
    async with browsing(desk, "vic") as vic:
        assert "may belong to other orders too" in await vic.get("/orders/shop/1001")
        assert "no refund is expected" in await vic.get("/orders/shop/1003")


async def test_search_finds_by_order_refund_payment_and_entry(desk: Desk) -> None:
    await desk.tell(paid(), order("partially_refunded", 1500), refund("re_1"), refund("re_9", payment_ids=("pi_9",)))
    entry = desk.expected()[0]
    async with browsing(desk, "vic") as vic:
        for text, orders, entries in (*FOUND, (entry.id, 0, 1), (entry.id[:8].upper(), 0, 1)):
            page = (await vic.get(f"/search?q={text}")).partition("<main")[2]
            assert len(re.findall(r'<li><a href="/orders/', page)) == orders, text
            assert len(set(re.findall('"/entries/([0-9a-f]{32})"', page))) == entries, text
        assert "Nothing is known by this." in await vic.get("/search?q=nothing")


async def test_a_search_that_finds_very_much_says_that_it_does_not_show_all(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.search.FOUND_MAX", 2)
    async with browsing(desk, "vic") as vic:
        await desk.tell(order(), refund("re_1", 100), refund("re_2", 200))
        assert "There is more" not in await vic.get("/search?q=pi_1")
        await desk.tell(refund("re_3", 300))
        page = await vic.get("/search?q=pi_1")
    assert "There is more: only the first 2 of each kind are shown." in page


async def test_the_overview_sums_up_and_its_charts_lead_on(desk: Desk) -> None:
    await desk.tell(STRAY, *on_order(71, 400), paid(), order("partially_refunded", 1500), refund("re_2", hours=3))
    await desk.journal.append([NewEvent("stripe", "x", "x", "webhook", LATER - HOUR, {}, b"{}")])
    async with browsing(desk, "vic") as vic:
        page = await vic.get("/overview")
        said = words(page)
        assert "Open in GBP 19.00" in said
        assert "2 entries , oldest 59" in said
        assert 'aria-label="Unmatched entries by age: under 1 d: 0, 1 to 3 d: 0, 3 to 7 d: 0, 7 to 30 d: 0, ' in page
        assert "over 30 d: 2." in page
        assert "Matched entries by lag: to 1 h: 0, to 6 h: 1," in page
        assert "stripe stripe gateway 60 min ago webhooks only" in said.replace("\xa0", " ").replace(
            "1 h ago", "60 min ago"
        )
        assert "1 event is not yet interpreted" in said
        [bar] = re.findall(r'<a href="(/exceptions\?until=[^"&]*)"', page)
        assert len(listed(await vic.get(unescape(bar)))) == 2


async def test_what_comes_from_outside_is_shown_as_text_wherever_it_is_shown(desk: Desk) -> None:
    told: dict[str, Any] = {
        "order_id": HOSTILE,
        "order_refs": (HOSTILE,),
        "transactions": (HOSTILE,),
        "method": HOSTILE,
    }
    await desk.tell(order("partially_refunded", 900, **told))
    await desk.tell(refund(HOSTILE, payment_ids=("pi_9",)))
    async with browsing(desk) as ann, desk.followed():
        ids = listed(await ann.get("/exceptions"))
        pages = [await ann.get(f"/entries/{id_}") for id_ in ids]
        pages += [await ann.get(f"/entries/{id_}/link?store=shop&order=%22%3E%3Cscript%3E") for id_ in ids]
        order_page = re.search('href="(/orders/[^"]*)"', "".join(pages))
        assert order_page
        pages.append(await ann.get(unescape(order_page[1])))
        pages.append(await ann.get("/search?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E"))
        pages.append(await ann.send(f"/entries/{ids[0]}/note", text="<script>alert(1)</script>"))
        pages.append(await ann.get("/audit"))
        pages.append(await ann.get("/resolve?" + "&".join(f"entry={id_}" for id_ in ids)))
    for page in pages:
        assert "<script" not in page
        assert "<img src=x" not in page
        assert "\u202e" not in page
    assert "&lt;script&gt;alert" in pages[0] + pages[1]


AMOUNTS = [
    (124050, "GBP", "1,240.50 GBP"),
    (-5, "GBP", "\N{MINUS SIGN}0.05 GBP"),
    (3100, "JPY", "3,100 JPY"),
    (None, "GBP", "\N{EN DASH}"),
    (7, "", "0.07"),
]


@pytest.mark.parametrize(("minor", "currency", "text"), AMOUNTS)
def test_amounts_are_written_as_people_read_them(minor: int | None, currency: str, text: str) -> None:
    assert money(minor, currency).replace("\xa0", " ") == text


SPANS = [
    (0, "moments"),
    (59 * SECOND, "59 s"),
    (90 * SECOND, "1 min"),
    (26 * HOUR, "26 h"),
    (2 * DAY, "2 d"),
    (-1, "moments"),
]


@pytest.mark.parametrize(("microseconds", "text"), SPANS)
def test_a_span_is_told_in_its_largest_unit(microseconds: int, text: str) -> None:
    assert span(microseconds).replace("\xa0", " ") == text


def test_a_count_has_its_noun() -> None:
    assert [plural(n, "entry", "entries") for n in (0, 1, 1200)] == ["0 entries", "1 entry", "1,200 entries"]
    assert plural(2, "event") == "2 events"
