"""Signing in at a browser: sessions, and what keeps strangers and other sites out."""

from collections.abc import Callable
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest
from starlette.routing import Route

from console.access import Access
from console.app import page_routes
from console.context import Context
from console.session import COOKIE, SESSION_SECONDS, Sessions
from console.signin import ADDRESSES_MAX, FAILURES_MAX, WINDOW_SECONDS, Attempts, _inside
from ledger.instants import SECOND
from ledger.policy import Policy
from storage.meta import session_secret
from tests.console.harness import TOKENS, UNKNOWN_ID, Desk, browsing, configured
from tests.ledger.build import refund

SECRET = b"s" * 32
FROM_HERE = {"origin": "http://console"}


@pytest.fixture
def access(sqlite_url: str) -> Access:
    return Access(configured(sqlite_url).settings.api_tokens)


def filled(route: Route) -> str:
    values = {
        "{id}": UNKNOWN_ID,
        "{action}": "note",
        "{store}": "shop",
        "{order_id:path}": "1",
        "{name}": "console.css",
    }
    path = route.path
    for name, value in values.items():
        path = path.replace(name, value)
    return path


def pages(desk: Desk, access: Access) -> list[tuple[str, str]]:
    """Every page: its method, and its path with something put in; but for those of signing in."""
    context = Context(desk.database, desk.journal, {}, Policy(), lambda: 0)
    routes = page_routes(context, access, Sessions(access, SECRET))
    found = [(max((r.methods or set()) - {"HEAD"}), filled(r)) for r in routes]
    return [(method, path) for method, path in found if not path.startswith(("/signin", "/static"))]


async def test_every_page_sends_strangers_to_sign_in(desk: Desk, access: Access) -> None:
    for method, path in pages(desk, access):
        answer = await desk.anybody.request(method, path, headers=FROM_HERE)
        assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/signin"), path


async def test_a_viewer_sees_every_page_but_those_of_actions(desk: Desk, access: Access) -> None:
    async with browsing(desk, "vic") as viewer:
        csrf = (await viewer.get("/audit")).partition('name="csrf" value="')[2].partition('"')[0]
        for method, path in pages(desk, access):
            answer = await viewer.client.request(method, path, headers=FROM_HERE, data={"csrf": csrf})
            is_action = path.startswith("/resolve") or path.endswith("/note")
            assert answer.status_code == 403 if is_action else answer.status_code in (200, 404), path


async def test_a_token_signs_in_and_leads_on_to_the_page_that_was_wanted(desk: Desk) -> None:
    wanted = "/exceptions?reason=refund_failed&source=stripe"
    sent_away = await desk.anybody.get(wanted)
    location = sent_away.headers["location"]
    assert location == "/signin?next=%2Fexceptions%3Freason%3Drefund_failed%26source%3Dstripe"
    form = (await desk.anybody.get(location)).text
    assert 'name="next" value="/exceptions?reason=refund_failed&amp;source=stripe"' in form
    answer = await desk.anybody.post("/signin", data={"token": f" {TOKENS['vic']} ", "next": wanted}, headers=FROM_HERE)
    assert (answer.status_code, answer.headers["location"]) == (303, wanted)


@pytest.mark.parametrize("order_id", ["A 1/b", "Ä 7", "50%", "a%2Fb", "#5?b"])
async def test_the_page_that_was_wanted_may_be_that_of_any_order(order_id: str, desk: Desk) -> None:
    wanted = f"/orders/shop/{quote(order_id)}"
    location = (await desk.anybody.get(wanted)).headers["location"]
    form = {"token": TOKENS["vic"], "next": parse_qs(urlsplit(location).query)["next"]}
    answer = await desk.anybody.post("/signin", data=form, headers=FROM_HERE)
    assert answer.headers["location"] == wanted


async def test_the_cookie_is_kept_from_scripts_and_other_sites_and_is_secure_behind_tls(desk: Desk) -> None:
    for scheme, secure in (("http", False), ("https", True)):
        url = f"{scheme}://console/signin"
        answer = await desk.anybody.post(url, data={"token": TOKENS["ann"]}, headers={"origin": f"{scheme}://console"})
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith(f"{COOKIE}=")
        assert f"; HttpOnly; Max-Age={SESSION_SECONDS}; Path=/; SameSite=strict" in cookie
        assert ("; Secure" in cookie) is secure
        desk.anybody.cookies.clear()


@pytest.mark.parametrize("token", ["", "wrong", TOKENS["ann"][:-1], "é", "x" * 10_000])
async def test_a_wrong_token_is_refused(token: str, desk: Desk) -> None:
    answer = await desk.anybody.post("/signin", data={"token": token}, headers=FROM_HERE)
    assert answer.status_code == 403
    assert "This token is not known." in answer.text
    assert "set-cookie" not in answer.headers


async def test_after_many_failures_an_address_has_to_wait_even_with_the_right_token(desk: Desk) -> None:
    for _ in range(FAILURES_MAX):
        await desk.anybody.post("/signin", data={"token": "wrong"}, headers=FROM_HERE)
    answer = await desk.anybody.post("/signin", data={"token": TOKENS["ann"]}, headers=FROM_HERE)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    assert "set-cookie" not in answer.headers


def test_attempts_are_forgotten_after_the_window_and_never_fill_the_memory() -> None:
    attempts = Attempts()
    for _ in range(FAILURES_MAX):
        assert not attempts.too_many("a", 0)
        attempts.failed("a", 0)
    assert attempts.too_many("a", WINDOW_SECONDS * SECOND - 1)
    assert not attempts.too_many("a", WINDOW_SECONDS * SECOND)
    attempts.failed("a", WINDOW_SECONDS * SECOND)
    assert not attempts.too_many("a", WINDOW_SECONDS * SECOND)
    for number in range(ADDRESSES_MAX * 2):
        attempts.failed(str(number), 0)
    assert len(attempts._failed) == ADDRESSES_MAX


OUTSIDE = [
    "",
    "http://evil",
    "//evil",
    "/\\evil",
    "\\\\evil",
    "/\t/evil",
    "javascript:alert(1)",
    "/a\r\nb: c",
    "/signin",
]


@pytest.mark.parametrize("location", OUTSIDE)
def test_signing_in_leads_nowhere_but_into_the_console(location: str) -> None:
    assert _inside(location) == "/exceptions"
    assert _inside("/orders/shop/10%2F2?x=1") == "/orders/shop/10%2F2?x=1"


def test_a_session_ends_after_its_time_and_with_its_token(access: Access, sqlite_url: str) -> None:
    sessions = Sessions(access, SECRET)
    cookie = sessions.begin(access.people["ann"], 0).cookie
    end = SESSION_SECONDS * SECOND
    found = sessions.find(cookie, end - 1)
    assert found
    assert (found.person.name, sessions.find(cookie, end)) == ("ann", None)
    assert Sessions(access, b"t" * 32).find(cookie, 0) is None
    rotated = configured(sqlite_url).settings.api_tokens
    del rotated["ann"]
    assert Sessions(Access(rotated), SECRET).find(cookie, 0) is None
    swapped = {"ann": rotated["vic"]}
    assert Sessions(Access(swapped), SECRET).find(cookie, 0) is None


FORGERIES: list[Callable[[str], str]] = [
    lambda cookie: "",
    lambda cookie: cookie[:-1],
    lambda cookie: cookie + "0",
    lambda cookie: cookie.partition(".")[0],
    lambda cookie: "." + cookie,
    lambda cookie: "ÿ" + cookie,
    lambda cookie: "!" + cookie[1:],
    lambda cookie: cookie.replace(".", ".é"),
]


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_forged_session_is_none(forge: Callable[[str], str], access: Access) -> None:
    sessions = Sessions(access, SECRET)
    assert sessions.find(forge(sessions.begin(access.people["ann"], 0).cookie), 0) is None


def test_what_is_to_be_said_is_said_in_its_own_session_only(access: Access) -> None:
    sessions = Sessions(access, SECRET)
    one, other = (sessions.begin(access.people["ann"], 0) for _ in range(2))
    sealed = one.seal("Resolved 3 entries · really.")
    assert (one.unseal(sealed), other.unseal(sealed)) == ("Resolved 3 entries · really.", None)
    assert [one.unseal(wrong) for wrong in ("", ".", "é.é", sealed[:-1], one.csrf)] == [None] * 5


async def test_the_secret_of_sessions_is_made_once_for_a_database(desk: Desk) -> None:
    assert await session_secret(desk.database) == await session_secret(desk.database)
    assert len(await session_secret(desk.database)) == 32


FOREIGN: list[dict[str, str]] = [
    {},
    {"origin": "http://evil"},
    {"origin": "null"},
    {"origin": "http://["},
    {"origin": "http://console.evil"},
    {"origin": "http://console", "sec-fetch-site": "cross-site"},
    {"origin": "http://console", "sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
]


@pytest.mark.parametrize("headers", FOREIGN)
async def test_a_form_that_another_site_sends_is_refused(headers: dict[str, str], desk: Desk) -> None:
    answer = await desk.anybody.post("/signin", data={"token": TOKENS["ann"]}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_a_form_without_this_sessions_token_decides_nothing(desk: Desk) -> None:
    await desk.tell(refund("re_1", payment_ids=("pi_9",)))
    [entry] = desk.expected()
    async with browsing(desk) as ann, browsing(desk) as again:
        foreign = (await again.get("/audit")).partition('name="csrf" value="')[2].partition('"')[0]
        for csrf in ("", "0" * 64, foreign, "é"):
            page = await ann.post(f"/entries/{entry.id}/note", 403, csrf=csrf, text="hello", seen=entry.fingerprint)
            assert "out of date" in page
        assert "No decisions yet" in (await ann.get("/audit")).replace("\n", "")


async def test_a_sign_out_ends_it_at_this_browser(desk: Desk) -> None:
    async with browsing(desk) as ann:
        csrf = (await ann.get("/audit")).partition('name="csrf" value="')[2].partition('"')[0]
        assert "API token" in await ann.post("/signout", csrf=csrf)
        assert COOKIE not in ann.client.cookies
        assert "API token" in await ann.get("/audit")


async def test_a_link_from_another_site_is_asked_for_once_more_so_that_the_cookie_comes_along(desk: Desk) -> None:
    followed = {"sec-fetch-site": "cross-site", "accept": "text/html"}
    first = await desk.anybody.get("/exceptions?reason=refund_failed", headers=followed)
    again = await desk.anybody.get(first.headers["location"], headers=followed)
    assert '<meta http-equiv="refresh" content="0; url=/exceptions?reason=refund_failed">' in again.text
    own = await desk.anybody.get(first.headers["location"], headers={"sec-fetch-site": "same-origin"})
    assert "http-equiv" not in own.text


async def test_pages_run_no_script_and_are_embedded_nowhere(desk: Desk) -> None:
    async with browsing(desk) as ann:
        for path in ("/exceptions", "/overview", "/nowhere"):
            answer = await ann.client.get(path, headers={"accept": "text/html"})
            assert answer.headers["content-security-policy"] == (
                "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
                "frame-ancestors 'none'; base-uri 'none'"
            )
            assert answer.headers["referrer-policy"] == "same-origin"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "<script" not in answer.text
            assert " style=" not in answer.text


async def test_what_is_wrong_is_a_page_for_people_and_a_problem_for_scripts(desk: Desk) -> None:
    async with browsing(desk) as ann:
        assert "There is nothing at this address." in await ann.get("/nowhere", 404)
        assert "There is no entry with this id." in await ann.get(f"/entries/{UNKNOWN_ID}", 404)
        assert "reason: has to be one of" in await ann.get("/exceptions?reason=none", 400)
    answer = await desk.operator.get("/nowhere")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_the_style_sheet_is_there_for_everybody_and_kept(desk: Desk) -> None:
    answer: httpx.Response = await desk.anybody.get("/static/console.css")
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in answer.headers["cache-control"]
    assert (await desk.anybody.get("/static/../console.css")).status_code == 404
