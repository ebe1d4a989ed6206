"""What every page has: who sees it, how it is drawn, how its forms are taken.

A page is a function of context and request that ends in `page(...)`, a template that extends base.html, and a line in
`console.app.routes`; for the menu, one in MENU.
"""

from collections.abc import Awaitable, Callable
from typing import TypeAlias
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from console import parameters
from console.access import Endpoint, Role, permitted
from console.context import Context
from console.drawing import PAGE_HEADERS, STATIC, drawn
from console.session import COOKIE, Session, Sessions

Page: TypeAlias = Callable[[Context, Request], Awaitable[Response]]

MENU = (("/exceptions", "Exceptions"), ("/overview", "Overview"), ("/report", "Report"), ("/audit", "Audit"))
FLASH = "refund_ledger_said"
"""The cookie that carries what an action did to the page that is shown next."""


class Pages:
    """Gives pages to those who are signed in."""

    def __init__(self, context: Context, sessions: Sessions) -> None:
        self._context = context
        self._sessions = sessions

    def only(self, role: Role, page: Page) -> Endpoint:
        """The page as an endpoint, for people of this role; with POST, after the form was proven to be ours."""

        async def guarded(request: Request) -> Response:
            session = self._sessions.find(request.cookies.get(COOKIE, ""), self._context.clock())
            if session is None:
                return to_sign_in(request)
            request.state.session = session
            permitted(session.person, role)
            if request.method == "POST":
                request.state.form = await own_form(request, session)
            return await page(self._context, request)

        return guarded


def page(context: Context, request: Request, template: str, *, status: int = 200, **values: object) -> Response:
    """The template as answer. It knows the session, the menu, the time, and what the last action did."""
    session: Session | None = getattr(request.state, "session", None)
    sealed = request.cookies.get(FLASH)
    said = session.unseal(sealed) if session and sealed else None
    shared = {"session": session, "menu": MENU, "path": request.url.path, "now": context.clock(), "said": said}
    answer = HTMLResponse(drawn(template, **shared, **values), status, PAGE_HEADERS)
    if sealed:
        answer.delete_cookie(FLASH, path="/")
    return answer


def said_on_next_page(request: Request, location: str, text: str) -> Response:
    """Go there, and have it said there what was done."""
    answer = RedirectResponse(location, 303)
    sealed = request.state.session.seal(text)
    answer.set_cookie(FLASH, sealed, max_age=60, secure=is_secure(request), httponly=True, samesite="strict")
    return answer


def to_sign_in(request: Request) -> Response:
    """Where somebody goes who is not signed in; a page, unlike a form, is there again afterwards."""
    wanted = quote(request.scope["path"]) + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/signin?next={quote(wanted, safe='')}" if request.method == "GET" else "/signin", 303)


async def own_form(request: Request, session: Session | None) -> dict[str, list[str]]:
    """The form's fields, where a page of this console sent it; else 403. Without a session the origin is all there is.

    `Sec-Fetch-Site` cannot be set by a page, and holds behind any proxy. Browsers that do not send it, and all of
    them over plain http, are known by `Origin`.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin", "").partition("://")[2]
    ours = site == "same-origin" if site else origin == request.headers.get("host")
    if not ours:
        raise HTTPException(403, "This form was not sent by a page of this console.")
    fields = await parameters.form(request)
    if session and not session.is_csrf((fields.pop("csrf", None) or [""])[0]):
        raise HTTPException(403, "This form is out of date. Go back, load the page again, and repeat it.")
    return fields


def is_secure(request: Request) -> bool:
    """Whether the browser speaks TLS, to us or to a proxy on this machine that says so."""
    return request.url.scheme == "https"


def field(request: Request, name: str) -> str:
    """A field of the form, empty where it is not there."""
    values: list[str] = request.state.form.get(name, [])
    return values[0] if values else ""


async def to_front(_: Context, __: Request) -> Response:
    """What needs a person comes first."""
    return RedirectResponse("/exceptions", 303)


async def static(request: Request) -> Response:
    """A file that pages refer to, under an address that changes with it."""
    name = request.path_params["name"]
    if name not in STATIC:
        raise HTTPException(404)
    kind = "text/css" if name.endswith(".css") else "image/svg+xml"
    return Response(STATIC[name], headers={"cache-control": "public, max-age=31536000, immutable"}, media_type=kind)
