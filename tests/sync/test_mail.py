"""A message to a customer: what is in it, and how it is handed to a real mail server."""

import ipaddress
import socket
import ssl
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from config.notices import CustomerNotice
from ledger.entries import GatewayRefund
from sync import mail
from sync.mail import NotCertain, NotTaken, Told, compose, send
from tests.fakes.smtp import CUT_OFF, LOGIN, FakeMailServer
from tests.sync.build import at

REFUND = GatewayRefund("stripe", "re_1", "refund", "succeeded", 1250, "GBP", at(2))
TOLD = Told("shop", "1001", REFUND)


def settings(port: int = 25, **more: object) -> CustomerNotice:
    values: dict[str, object] = {
        "smtp_host": "127.0.0.1",
        "smtp_port": port,
        "smtp_security": "none",
        "sender": "Print <r@example.com>",
    }
    return CustomerNotice.model_validate(values | more)


def message(notice: CustomerNotice, told: Told = TOLD, to: str = "ann@example.org") -> EmailMessage:
    return compose(notice, told, to, at(3))


def test_it_says_how_much_went_back_when_and_for_which_order() -> None:
    made = message(settings(reply_to="help@example.com"))
    assert str(made["From"]) == "Print <r@example.com>"
    assert str(made["To"]) == "ann@example.org"
    assert str(made["Reply-To"]) == "help@example.com"
    assert made["Subject"] == "Your refund of 12.50 GBP for order 1001"
    assert made["Auto-Submitted"] == "auto-generated"
    assert made["Date"].datetime == datetime(2025, 3, 1, 3, tzinfo=UTC)
    assert "on 2025-03-01 we returned 12.50 GBP for your order 1001" in made.get_content()
    assert made.get_content().endswith("\nPrint\n")


def test_a_storefront_has_its_own_sender_brand_and_template() -> None:
    own = {"sender": "shop@example.net", "brand": "Zwölf & Söhne", "template": "Subject: $order\n\n$$ $amount, $brand"}
    made = message(settings(stores={"shop": own}))
    assert str(made["From"]) == "shop@example.net"
    assert (made["Subject"], made.get_content()) == ("1001", "$ 12.50 GBP, Zwölf & Söhne\n")
    assert message(settings(stores={"other": own}))["Subject"] != "1001"


def test_the_same_refund_has_the_same_message_id_and_another_has_another() -> None:
    other = Told("shop", "1001", GatewayRefund("stripe", "re_2", "refund", "succeeded", 1250, "GBP", at(2)))
    assert message(settings())["Message-ID"] == message(settings())["Message-ID"]
    assert message(settings())["Message-ID"] != message(settings(), other)["Message-ID"]


@pytest.mark.parametrize(
    "order",
    ["1\r\nBcc: all@example.org", "1\nX: y", "1\x00", "1\u2028Bcc: x", "$brand", "ü" * 200,
     "=?utf-8?q?=0D=0ABcc:_all=40example.org?=", "ü =?utf-8?b?CkJjYzogeA==?=", "ü =?utf-8?q?=FF?="],
)  # fmt: skip
def test_the_name_of_an_order_cannot_become_a_header(order: str) -> None:
    made = message(settings(), Told("shop", order, REFUND))
    assert made["Bcc"] is None
    raw = made.as_bytes()
    head = raw.partition(b"\r\n\r\n")[0]
    assert b"\nBcc" not in head
    assert b"\nX:" not in head
    assert all(len(line) < 1000 for line in raw.split(b"\r\n"))


async def test_it_arrives() -> None:
    server = FakeMailServer()
    with server.serving() as port:
        notice = settings(port)
        await send(message(notice), notice)
    [taken] = server.messages
    assert server.senders == ["r@example.com"]
    assert (taken["To"], taken["Subject"]) == ("ann@example.org", "Your refund of 12.50 GBP for order 1001")
    assert taken.get_content() == message(settings()).get_content()


@pytest.mark.parametrize(
    ("recipient", "data", "permanent"),
    [("450 later", None, False), ("550 ann@example.org is unknown", None, True), (None, "451 later", False),
     ("554 5.7.1 <ann@example.org>: Relay access denied", None, False), ("550 5.1.1 unknown", None, True),
     (None, "552 too large", True)],
)  # fmt: skip
async def test_a_refusal_says_whether_it_is_for_good_and_nothing_personal(
    recipient: str | None, data: str | None, permanent: bool
) -> None:
    server = FakeMailServer()
    server.recipients.append(recipient)
    server.data.append(data)
    with server.serving() as port:
        notice = settings(port)
        with pytest.raises(NotTaken) as refused:
            await send(message(notice), notice)
    assert refused.value.permanent == permanent
    assert "ann" not in str(refused.value)
    assert server.messages == []


async def test_a_connection_that_ends_while_the_message_is_handed_over_leaves_it_open() -> None:
    server = FakeMailServer()
    server.data.append(CUT_OFF)
    with server.serving() as port:
        notice = settings(port)
        with pytest.raises(NotCertain):
            await send(message(notice), notice)
    assert len(server.messages) == 1


async def test_a_server_that_answers_neither_yes_nor_no_leaves_it_open() -> None:
    server = FakeMailServer()
    server.data.append("299 perhaps")
    with server.serving() as port:
        notice = settings(port)
        with pytest.raises(NotCertain):
            await send(message(notice), notice)


async def test_a_server_that_is_not_there_or_says_nothing_took_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, monkeypatch.context() as hasty:
        hasty.setattr(mail, "OFFER_SECONDS", 0.2)
        notice = settings(silent.getsockname()[1])
        with pytest.raises(NotTaken, match="cannot be reached: TimeoutError"):
            await send(message(notice), notice)
    with pytest.raises(NotTaken, match="cannot be reached: SMTPConnectError"):
        await send(message(notice), notice)
    no_name = settings(smtp_host="mail..example.com", smtp_security="tls")
    with pytest.raises(NotTaken, match="cannot be reached: UnicodeError"):
        await send(message(no_name), no_name)


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_with_tls_the_certificate_is_checked_and_the_login_given(
    security: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = _certificate(tmp_path)
    server = FakeMailServer()
    more = {"smtp_security": security, "smtp_username": LOGIN[0], "smtp_password": LOGIN[1]}
    with server.serving(context, at_once=security == "tls") as port:
        notice = settings(port, **more)
        with pytest.raises(NotTaken):  # nobody we know has signed it
            await send(message(notice), notice)
        assert server.logins == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        await send(message(notice), notice)
        wrong = settings(port, **more | {"smtp_password": "wrong"})
        with pytest.raises(NotTaken, match=r"refused us: SMTPAuthenticationError \(535\)") as refused:
            await send(message(wrong), wrong)
    assert not refused.value.permanent  # it is mended in the configuration
    assert len(server.messages) == 1


async def test_a_server_without_starttls_gets_nothing() -> None:
    server = FakeMailServer()
    with server.serving() as port:
        notice = settings(port, smtp_security="starttls")
        with pytest.raises(NotTaken):
            await send(message(notice), notice)
    assert server.messages == []


def _certificate(folder: Path) -> ssl.SSLContext:
    """A server's TLS with a certificate for 127.0.0.1 that it signed itself, in certificate.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    form = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context
