"""Who signed: the certificate is fetched once, from PayPal's own hosts, and whatever arrives costs little."""

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest

from ledger.instants import from_rfc3339
from sources import paypal_certificates
from sources.base import Delivery, NotReady
from sources.paypal import PayPal, PayPalSettings
from sources.paypal_certificates import Certificates
from tests.fakes.faults import answer, cut, silence
from tests.fakes.paypal import CERTIFICATE, WEBHOOK_ID, FakePayPal, certificate, signed

AT = from_rfc3339("2026-11-20T12:00:00Z")
BODY = b'{"id":"WH-1"}'


class Signing:
    """A source of ours, and the PayPal that signs what it gets."""

    def __init__(self, fake: FakePayPal, base: str, *webhook_ids: str) -> None:
        self.fake, self.base = fake, base
        told = {"kind": "paypal", "webhook_ids": webhook_ids or (WEBHOOK_ID,), "api_base": base}
        self.source = PayPal("paypal", PayPalSettings.model_validate(told))

    async def authentic(self, headers: dict[str, str], body: bytes = BODY) -> bool:
        delivery = Delivery(headers, body, AT)
        await self.source.prepare(delivery)
        return self.source.authentic(delivery)


@pytest.fixture
async def signing(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Signing]:
    monkeypatch.setattr(paypal_certificates, "PAUSE_SECONDS", 1e-9)
    fake = FakePayPal(AT)
    with fake.serving() as base:
        yield Signing(fake, base)


async def test_a_signed_delivery_is_authentic_and_its_certificate_is_fetched_once(signing: Signing) -> None:
    headers = signed(BODY, signing.base)

    assert [await signing.authentic(headers) for _ in range(3)] == [True, True, True]
    assert signing.fake.faults.requests == [f"GET /v1/notifications/certs/{CERTIFICATE}"]


async def test_many_at_once_wait_for_one_fetch(signing: Signing) -> None:
    headers = signed(BODY, signing.base)

    assert await asyncio.gather(*(signing.authentic(headers) for _ in range(20))) == [True] * 20
    assert len(signing.fake.faults.requests) == 1


async def test_any_of_our_webhooks_may_be_meant_and_no_other(signing: Signing) -> None:
    two = Signing(signing.fake, signing.base, "OTHER", WEBHOOK_ID)

    assert await two.authentic(signed(BODY, signing.base))
    assert not await signing.authentic(signed(BODY, signing.base, "WEBHOOK_ID"))


async def test_every_part_of_what_is_signed_counts(signing: Signing) -> None:
    headers = signed(BODY, signing.base)
    changed = [headers | {name: value + "0"} for name, value in headers.items()]
    changed += [{k: v for k, v in headers.items() if k != name} for name in headers]
    changed += [headers | {"paypal-transmission-sig": s} for s in ("", "\xff", "\u017f" * 8, "AAAA", "=", "x" * 10**5)]
    changed += [headers | {"paypal-auth-algo": "SHA1withRSA"}, {}]

    assert [await signing.authentic(other) for other in changed] == [False] * len(changed)
    assert not await signing.authentic(headers, BODY + b" ")


ELSEWHERE = [
    "",
    "https://evil.example/v1/notifications/certs/CERT-1",
    "https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1",
    "https://api.paypal.com@evil.example/v1/notifications/certs/CERT-1",
    "http://api.paypal.com/v1/notifications/certs/CERT-1",
    "https://api.paypal.com:8443/v1/notifications/certs/CERT-1",
    "https://api.paypal.com/v1/notifications/certs/../../CERT-1",
    "https://api.paypal.com/v1/notifications/certs/CERT-1?x=https://evil.example",
    "https://api.paypal.com/v1/notifications/certs/CERT-1\n",
    "https://api.paypal.com/v2/other",
    "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1",
    "file:///etc/passwd",
    "https://api.paypal.com/v1/notifications/certs/" + "x" * 101,
]


@pytest.mark.parametrize("address", ELSEWHERE, ids=range(len(ELSEWHERE)))
async def test_no_other_address_is_ever_asked(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def fetch(_self: Certificates, wanted: str) -> None:
        asked.append(wanted)

    monkeypatch.setattr(Certificates, "_fetch", fetch)
    live = PayPal("paypal", PayPalSettings.model_validate({"kind": "paypal", "webhook_ids": [WEBHOOK_ID]}))
    delivery = Delivery(signed(BODY, "https://x") | {"paypal-cert-url": address}, BODY, AT)
    await live.prepare(delivery)

    assert asked == []
    assert not live.authentic(delivery)
    good = "https://api.paypal.com/v1/notifications/certs/CERT-1"
    await live.prepare(Delivery({**delivery.headers, "paypal-cert-url": good}, BODY, AT))
    assert asked == [good]


async def test_an_invented_name_is_refused_and_not_remembered(signing: Signing) -> None:
    invented = [signed(BODY, signing.base, name=f"CERT-{n}") for n in range(20)]

    assert [await signing.authentic(headers) for headers in invented] == [False] * 20
    assert signing.source._certificates._known == {}


async def test_at_most_one_certificate_a_second_is_asked_for(signing: Signing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paypal_certificates, "PAUSE_SECONDS", 60.0)
    assert not await signing.authentic(signed(BODY, signing.base, name="CERT-1"))

    with pytest.raises(NotReady):
        await signing.authentic(signed(BODY, signing.base))
    assert len(signing.fake.faults.requests) == 1


async def test_who_names_another_certificate_meanwhile_has_to_come_again(signing: Signing) -> None:
    first = asyncio.create_task(signing.authentic(signed(BODY, signing.base)))
    await asyncio.sleep(0)  # it has begun

    with pytest.raises(NotReady):
        await signing.authentic(signed(BODY, signing.base, name="CERT-1"))
    assert await first


async def test_a_known_certificate_is_good_while_another_is_fetched(signing: Signing) -> None:
    headers = signed(BODY, signing.base)
    assert await signing.authentic(headers)
    other = asyncio.create_task(signing.authentic(signed(BODY, signing.base, name="CERT-1")))
    await asyncio.sleep(0)

    assert await signing.authentic(headers)
    assert not await other


async def test_only_so_many_certificates_are_kept(signing: Signing) -> None:
    for n in range(12):
        signing.fake.certificates[f"CERT-{n}"] = certificate()
        await signing.authentic(signed(BODY, signing.base) | {"paypal-cert-url": _address(signing, f"CERT-{n}")})

    assert list(signing.source._certificates._known) == [_address(signing, f"CERT-{n}") for n in range(4, 12)]


@pytest.mark.parametrize(
    "fault", [answer(503), answer(429), answer(302, location="https://evil.example"), cut, silence]
)
async def test_where_paypal_does_not_answer_the_sender_comes_again(
    signing: Signing, monkeypatch: pytest.MonkeyPatch, fault: object
) -> None:
    signing.fake.faults.line.append(fault)  # type: ignore[arg-type]
    headers = signed(BODY, signing.base)

    with monkeypatch.context() as hasty:
        hasty.setattr(paypal_certificates, "FETCH_SECONDS_MAX", 0.2)
        with pytest.raises(NotReady):
            await signing.authentic(headers)
    assert await signing.authentic(headers)


UNFIT = [
    b"",
    b"x" * 100_000,
    b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    certificate(until=2026),
]
UNFIT.append(certificate(bits=1024))
UNFIT.append(b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(b"\x30\x82" * 99) + b"\n-----END CERTIFICATE-----\n")


@pytest.mark.parametrize("pem", UNFIT, ids=range(len(UNFIT)))
async def test_what_is_no_certificate_or_ran_out_proves_nothing(signing: Signing, pem: bytes) -> None:
    signing.fake.certificates[CERTIFICATE] = pem

    assert not await signing.authentic(signed(BODY, signing.base))


def _address(signing: Signing, name: str) -> str:
    return f"{signing.base}/v1/notifications/certs/{name}"
