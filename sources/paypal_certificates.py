"""PayPal's certificates: fetched once, from PayPal's own hosts only, whatever address a delivery names.

Anybody may name an address before anything is proven. So the host and the path have to be PayPal's, there is one fetch
at a time and at most one a second, and who names another address meanwhile has to come again. A certificate is trusted
because the host that it came from is: TLS proves that one by its whole chain, and redirects are not followed.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ledger.instants import Instant, from_rfc3339
from sources.base import NotReady
from sources.http_client import HttpClient, system_clock
from sources.polling import ApiFailed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

CERTIFICATES_MAX = 8
BYTES_MAX = 64 * 2**10
FETCH_SECONDS_MAX = 5.0
PAUSE_SECONDS = 1.0
"""From the start of one fetch to that of the next."""

_KEY_BITS_MIN = 2048


class _Certificate(NamedTuple):
    key: "RSAPublicKey"
    since: Instant
    until: Instant


class Certificates:
    """The certificates of these hosts, each given as https://host."""

    def __init__(self, hosts: Sequence[str]) -> None:
        anywhere = "|".join(map(re.escape, hosts))
        self._address = re.compile(rf"({anywhere})(/v1/notifications/certs/[A-Za-z0-9_-]{{1,100}})", re.ASCII)
        self._known: dict[str, _Certificate] = {}
        self._fetching: tuple[str, asyncio.Task[str | None]] | None = None
        self._free_at = 0.0

    def key(self, address: str, at: Instant) -> "RSAPublicKey | None":
        """The key of the certificate with this address, where it is known and valid at that time."""
        known = self._known.get(address)
        return known.key if known and known.since <= at <= known.until else None

    async def want(self, address: str, at: Instant) -> None:
        """Have the certificate with this address, if there is one: fetch it unless it is known. Raises NotReady."""
        if not self._address.fullmatch(address) or self.key(address, at):
            return
        if self._fetching is None or self._fetching[1].done():
            now = asyncio.get_running_loop().time()
            if now < self._free_at:
                raise NotReady("PayPal's certificates are fetched one a second")
            self._free_at = now + PAUSE_SECONDS
            self._fetching = address, asyncio.create_task(self._fetch(address))
        wanted, fetch = self._fetching
        if wanted != address:
            raise NotReady("PayPal's certificates are fetched one at a time")
        # Shielded: one who leaves takes nothing from the others that wait for the same.
        if reason := await asyncio.shield(fetch):
            raise NotReady(f"PayPal's certificate: {reason}")

    async def _fetch(self, address: str) -> str | None:
        """Why PayPal did not answer; None where it did, also without a certificate to rely on."""
        match = self._address.fullmatch(address)
        assert match
        host = HttpClient(match[1], 1 / PAUSE_SECONDS, system_clock)
        try:
            async with asyncio.timeout(FETCH_SECONDS_MAX):
                reply = await host.call("GET", match[2], {})
        except TimeoutError:
            return "no answer in time"
        except ApiFailed as failure:
            return str(failure)
        finally:
            await host.close()
        found = _certificate(reply.body) if reply.status == 200 and len(reply.body) <= BYTES_MAX else None
        if found:
            self._known.pop(address, None)
            self._known[address] = found
            if len(self._known) > CERTIFICATES_MAX:
                del self._known[next(iter(self._known))]
        return None


def _certificate(pem: bytes) -> _Certificate | None:
    """The first certificate of a PEM file, the ones behind it being those of its issuers; None where there is none."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    try:
        certificate = x509.load_pem_x509_certificates(pem)[0]
        key = certificate.public_key()
        since, until = (
            from_rfc3339(t.isoformat()) for t in (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
        )
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        return None
    if not isinstance(key, RSAPublicKey) or key.key_size < _KEY_BITS_MIN:
        return None
    return _Certificate(key, since, until)
