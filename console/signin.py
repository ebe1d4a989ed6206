"""Signing in at a browser with an API token, and out again."""

import re
from collections import OrderedDict
from ipaddress import ip_address, ip_network

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from console.access import Access
from console.context import Context
from console.pages import is_secure, own_form, page
from console.session import COOKIE, SESSION_SECONDS, Sessions
from ledger.instants import SECOND, Instant

FAILURES_MAX = 10
WINDOW_SECONDS = 60
ADDRESSES_MAX = 1_000


class Attempts:
    """Failed attempts by address: at most FAILURES_MAX in a window, and the newest ADDRESSES_MAX addresses."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, tuple[Instant, int]] = OrderedDict()

    def too_many(self, address: str, now: Instant) -> bool:
        """Whether this address has to wait."""
        since, count = self._failed.get(address, (now, 0))
        return count >= FAILURES_MAX and now - since < WINDOW_SECONDS * SECOND

    def failed(self, address: str, now: Instant) -> None:
        """Count one."""
        since, count = self._failed.pop(address, (now, 0))
        fresh = now - since >= WINDOW_SECONDS * SECOND
        self._failed[address] = (now, 1) if fresh else (since, count + 1)
        if len(self._failed) > ADDRESSES_MAX:
            self._failed.popitem(last=False)


class SignIn:
    """The three addresses of it."""

    def __init__(self, context: Context, access: Access, sessions: Sessions) -> None:
        self._context = context
        self._access = access
        self._sessions = sessions
        self._attempts = Attempts()

    async def show(self, request: Request) -> Response:
        """The form; or straight on, for somebody who is signed in."""
        wanted = _inside(request.query_params.get("next", ""))
        if self._sessions.find(request.cookies.get(COOKIE, ""), self._context.clock()):
            return RedirectResponse(wanted, 303)
        # A browser keeps a SameSite=Strict cookie to itself when a link on another site, as a Grafana board, was
        # followed. Asked for once more, by this page, it sends it.
        again = request.headers.get("sec-fetch-site") == "cross-site"
        return self._form(request, wanted, again=wanted if again else None)

    async def sign_in(self, request: Request) -> Response:
        """Take the token."""
        form = await own_form(request, None)
        wanted = _inside((form.get("next") or [""])[0])
        now, address = self._context.clock(), _network(request)
        if self._attempts.too_many(address, now):
            problem = f"Too many failed attempts. Wait {WINDOW_SECONDS} seconds and try again."
            return self._form(request, wanted, problem=problem, status=429)
        person = self._access.person((form.get("token") or [""])[0].strip())
        if person is None:
            self._attempts.failed(address, now)
            return self._form(request, wanted, problem="This token is not known.", status=403)
        answer = RedirectResponse(wanted, 303)
        cookie = self._sessions.begin(person, now).cookie
        secure = is_secure(request)
        answer.set_cookie(COOKIE, cookie, max_age=SESSION_SECONDS, secure=secure, httponly=True, samesite="strict")
        return answer

    async def sign_out(self, _: Context, request: Request) -> Response:
        """Have the browser forget the session."""
        answer = RedirectResponse("/signin", 303)
        answer.delete_cookie(COOKIE, secure=is_secure(request), httponly=True, samesite="strict")
        return answer

    def _form(
        self, request: Request, wanted: str, *, problem: str = "", again: str | None = None, status: int = 200
    ) -> Response:
        answer = page(self._context, request, "signin.html", status=status, wanted=wanted, problem=problem, again=again)
        if status == 429:
            answer.headers["retry-after"] = str(WINDOW_SECONDS)
        return answer


def _inside(location: str) -> str:
    """Where to go afterwards: a page of this console, and nowhere else."""
    inside = re.fullmatch(r"/(?!/|signin)[!-\[\]-~]*", location)  # no backslash: browsers take it for a slash
    return location if inside else "/exceptions"


def _network(request: Request) -> str:
    """The address to count by. Whoever has one IPv6 address has a /64 of them."""
    try:
        address = ip_address(request.client.host if request.client else "")
    except ValueError:
        return ""
    return str(ip_network((address, 64), strict=False)) if address.version == 6 else str(address)
