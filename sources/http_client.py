"""Calls to another system over HTTP: paced, bounded in time and in size, never redirected."""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from ledger.instants import DAY, SECOND, Instant
from sources.base import NotUnderstood
from sources.parsing import JsonObject, json_object
from sources.polling import CALL_SECONDS_MAX, ApiFailed, Pace

if TYPE_CHECKING:
    import httpx

BODY_MAX = 16 * 2**20
"""Bytes of an answer; a full page of any list is far smaller."""

_RETRY_AFTER_MAX = DAY / SECOND


class Reply(NamedTuple):
    """What came back, and when the request started."""

    as_of: Instant
    status: int
    body: bytes

    @property
    def utf8(self) -> bytes:
        """The body with what is not UTF-8 replaced: a name that was cut short hides nothing that stands beside it."""
        return self.body.decode(errors="replace").encode()

    def object(self) -> JsonObject:
        """The JSON object that the body is. Raises ApiFailed."""
        try:
            return json_object(self.utf8)
        except NotUnderstood as error:
            raise ApiFailed(f"an answer: {error}") from None


class HttpClient:
    """The connections to one system, at most `per_second` calls a second. Paths are appended to `base` as they are."""

    def __init__(self, base: str, per_second: float, clock: Callable[[], Instant]) -> None:
        import httpx  # the listener loads it only where a certificate has to be fetched

        self._base = base
        self._clock = clock
        self._pace = Pace(per_second)
        # Compressed answers could unfold to any size.
        headers = {"accept-encoding": "identity"}
        self._client = httpx.AsyncClient(headers=headers, timeout=CALL_SECONDS_MAX, verify=_tls())

    async def call(self, method: str, path: str, headers: Mapping[str, str], content: bytes | None = None) -> Reply:
        """The reply to one request. Raises ApiFailed where there is none to rely on.

        A reply of status 4xx that speaks of this request alone, as 404, is a reply.
        """
        import httpx

        await self._pace.wait()
        as_of = self._clock()
        try:
            async with (
                asyncio.timeout(CALL_SECONDS_MAX),
                self._client.stream(method, self._base + path, headers=dict(headers), content=content) as response,
            ):
                _check(response)
                return Reply(as_of, response.status_code, await _body(response))
        except TimeoutError:
            raise ApiFailed("no answer in time", unavailable=True) from None
        except httpx.HTTPError as error:
            # Its text may hold an address; the kind says enough.
            raise ApiFailed(f"the connection failed: {type(error).__name__}", unavailable=True) from None

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()


def system_clock() -> Instant:
    """The time now."""
    return time.time_ns() // 1000


@cache
def _tls() -> ssl.SSLContext:
    """One for all clients: to load the certificates takes time and memory."""
    import httpx

    return httpx.create_ssl_context()


async def _body(response: "httpx.Response") -> bytes:
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > BODY_MAX:
            raise ApiFailed("the answer is too large")
    return bytes(body)


def _check(response: "httpx.Response") -> None:
    """Raise ApiFailed for what is no answer to this request."""
    status = response.status_code
    if status in (401, 403):
        raise ApiFailed(f"our credentials were refused (HTTP {status})", permanent=True, alone=status == 403)
    if status in (408, 429) or not (200 <= status < 300 or 400 <= status < 500):
        pause = _retry_after(response)
        raise ApiFailed(f"HTTP {status}", retry_after_seconds=pause, alone=status == 500, unavailable=True)


def _retry_after(response: "httpx.Response") -> float | None:
    """Seconds, from the number of them or from a date, which counts from the date of the reply itself."""
    text = response.headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _RETRY_AFTER_MAX)
    try:
        pause = parsedate_to_datetime(text) - parsedate_to_datetime(response.headers.get("date", ""))
    except (ValueError, TypeError):
        return None
    return min(max(pause.total_seconds(), 0.0), _RETRY_AFTER_MAX)
