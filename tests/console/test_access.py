"""Who may do what, and what every answer carries."""

import httpx
from starlette.routing import Route

from console.access import Access
from console.app import routes
from console.context import Context
from console.health import Health
from ledger.policy import Policy
from tests.console.harness import TOKENS, UNKNOWN_ID, Desk, configured

OPEN = {"/healthz", "/readyz", "/metrics"}


def addresses(desk: Desk) -> list[tuple[str, str, str]]:
    """Every route: its method, its path, the path with something put in."""
    context = Context(desk.database, desk.journal, {}, Policy(), lambda: 0)
    found: list[Route] = routes(context, Access({}), Health(desk.database))
    filled = {"{id}": UNKNOWN_ID, "{source}": "shop", "{order_id:path}": "1001"}
    addresses = []
    for route in found:
        path = route.path
        for name, value in filled.items():
            path = path.replace(name, value)
        addresses.append((max((route.methods or set()) - {"HEAD"}), route.path, path))
    return addresses


async def test_every_address_asks_for_a_token_and_each_role_gets_what_is_its_own(desk: Desk) -> None:
    for method, name, path in addresses(desk):
        nobody, viewer, operator = [
            (await client.request(method, path)).status_code for client in (desk.anybody, desk.viewer, desk.operator)
        ]
        if name in OPEN:
            assert (nobody, viewer, operator) == (200, 200, 200), name
        elif method == "POST":
            assert (nobody, viewer) == (401, 403), name
            assert operator in (400, 404), name
        else:
            assert nobody == 401, name
            assert viewer == operator in (200, 404), name


STRANGERS = [
    "",
    "Bearer",
    "Bearer ",
    "Bearer wrong",
    f"Basic {TOKENS['ann']}",
    TOKENS["ann"],
    f"Bearer {TOKENS['ann']}x",
    f"Bearer {TOKENS['ann'][:-1]}",
    f"Bearer {TOKENS['ann'].upper()}",
    "Bearer \xff\xfe",
]


async def test_anything_but_a_known_token_is_401_with_a_challenge(desk: Desk) -> None:
    for header in STRANGERS:
        headers = httpx.Headers([(b"authorization", header.encode("latin-1"))])
        answer = await desk.anybody.get("/api/v1/entries", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["detail"] == "This takes a valid bearer token."


async def test_the_word_bearer_may_be_written_in_any_case(desk: Desk) -> None:
    answer = await desk.anybody.get("/api/v1/entries", headers={"authorization": f"bearer {TOKENS['vic']}"})
    assert answer.status_code == 200


async def test_a_viewer_is_told_what_is_missing(desk: Desk) -> None:
    answer = await desk.viewer.post(f"/api/v1/entries/{UNKNOWN_ID}/note", json={"text": "hello"})
    assert answer.status_code == 403
    assert answer.json() == {
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
        "detail": "This takes a token with the role operator.",
    }


def test_tokens_are_known_by_their_digests_only(sqlite_url: str) -> None:
    access = Access(configured(sqlite_url).settings.api_tokens)
    assert not any(token in repr(vars(access)) for token in TOKENS.values())


NOT_THERE = [
    ("GET", "/nowhere", 404),
    ("GET", "/api/v1/entries/", 404),
    ("GET", "/api/v1/none", 404),
    ("POST", "/api/v1/entries", 405),
    ("GET", f"/api/v1/entries/{UNKNOWN_ID}/note", 405),
    ("DELETE", "/healthz", 405),
    ("OPTIONS", "/api/v1/summary", 405),
    ("TRACE", "/api/v1/summary", 405),
]


async def test_what_is_not_there_is_a_problem_too(desk: Desk) -> None:
    for method, path, status in NOT_THERE:
        answer = await desk.operator.request(method, path)
        assert (answer.status_code, answer.json()["status"]) == (status, status)
        assert answer.headers["content-type"] == "application/problem+json"
        assert status != 405 or answer.headers["allow"]


async def test_every_answer_forbids_to_keep_guess_or_embed_it(desk: Desk) -> None:
    for method, _, path in [*addresses(desk), ("GET", "/nowhere", "/nowhere")]:
        for client in (desk.anybody, desk.operator):
            headers = (await client.request(method, path)).headers
            assert headers["cache-control"] == "no-store"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
