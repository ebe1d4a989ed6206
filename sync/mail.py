"""A message to a customer, and how it is handed to the mail server."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from hashlib import blake2b
from string import Template
from typing import NamedTuple

import aiosmtplib

from config.notices import CustomerNotice, Mailbox, StoreNotice
from ledger.entries import GatewayRefund
from ledger.instants import SECOND, Instant
from ledger.money import to_decimal

OFFER_SECONDS = 20.0
"""Until the mail server is ready to take the message."""

HAND_OVER_SECONDS = 40.0
"""Until it said whether it took it."""


class NotTaken(Exception):  # noqa: N818 - it happened, as its name says
    """The mail server did not take the message. The text holds no address."""

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.permanent = permanent
        """It refuses this message or this recipient, and will again."""


class NotCertain(Exception):  # noqa: N818
    """The mail server may have taken the message. The text holds no address."""


class Told(NamedTuple):
    """What the customer is told of."""

    store: str
    order_id: str
    refund: GatewayRefund


def compose(notice: CustomerNotice, told: Told, to: str, now: Instant) -> EmailMessage:
    """The message. `to` is an address as config.notices.ADDRESS has it."""
    own = notice.stores.get(told.store, StoreNotice())
    sender, reply_to = own.sender or notice.sender, own.reply_to or notice.reply_to
    template = own.template or notice.template
    refund = told.refund
    values = {
        "amount": f"{to_decimal(refund.amount, refund.currency)} {refund.currency}",
        "brand": _line(own.brand or notice.brand or sender.name),
        "date": _moment(refund.at).date().isoformat(),
        "order": _line(told.order_id),
    }
    message = EmailMessage(SMTP)
    message["From"] = _header(sender)
    message["To"] = Address(addr_spec=to)
    if reply_to:
        message["Reply-To"] = _header(reply_to)
    message["Subject"] = _head(Template(template.subject).substitute(values))
    message["Date"] = _moment(now)
    # The same for the same refund, so that a mail server can tell a second one too.
    name = blake2b(f"{refund.source}\0{refund.id}".encode(), digest_size=16).hexdigest()
    message["Message-ID"] = f"<refund-{name}@{sender.address.partition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(Template(template.body).substitute(values), cte="quoted-printable")
    return message


async def send(message: EmailMessage, notice: CustomerNotice) -> None:
    """Hand the message to the mail server. Raises NotTaken, or NotCertain from when it was being handed over."""
    client = _client(notice)
    try:
        await _offer(client, message)
        try:
            async with asyncio.timeout(HAND_OVER_SECONDS):
                await client.data(message.as_bytes())
        except aiosmtplib.SMTPDataError as error:
            if error.code < 400:
                raise NotCertain(f"the mail server answered {error.code} to the message") from None
            raise NotTaken(f"the mail server refused the message ({error.code})", permanent=error.code >= 500) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise NotCertain(f"the connection failed while the message was handed over: {_kind(error)}") from None
        # It is sent; a goodbye that fails changes nothing.
        with suppress(aiosmtplib.SMTPException, OSError):
            await client.quit(timeout=5)
    finally:
        client.close()


async def log_in(notice: CustomerNotice) -> None:
    """See whether the mail server can be reached and knows us. Raises NotTaken where not."""
    client = _client(notice)
    try:
        await _offer(client, None)
    finally:
        client.close()


async def _offer(client: aiosmtplib.SMTP, message: EmailMessage | None) -> None:
    """As far as can be gone without the message being sent; without one, until we are logged in."""
    try:
        async with asyncio.timeout(OFFER_SECONDS):
            await client.connect()
            if message is None:
                return
            await client.mail(message["From"].addresses[0].addr_spec)
            await client.rcpt(message["To"].addresses[0].addr_spec)
    except aiosmtplib.SMTPRecipientRefused as error:
        raise NotTaken(f"the mail server refused the recipient ({error.code})", permanent=_for_good(error)) from None
    except aiosmtplib.SMTPResponseException as error:
        # A wrong password or a sender that is not allowed is refused for good, and mended in the configuration.
        raise NotTaken(f"the mail server refused us: {_kind(error)} ({error.code})") from None
    except (aiosmtplib.SMTPException, OSError, UnicodeError) as error:  # the last where smtp_host is no name at all
        raise NotTaken(f"the mail server cannot be reached: {_kind(error)}") from None


def _client(notice: CustomerNotice) -> aiosmtplib.SMTP:
    return aiosmtplib.SMTP(
        hostname=notice.smtp_host,
        port=notice.port,
        username=notice.smtp_username,
        password=notice.smtp_password.get_secret_value() if notice.smtp_password else None,
        timeout=HAND_OVER_SECONDS,
        use_tls=notice.smtp_security == "tls",
        start_tls=notice.smtp_security == "starttls",
    )


def _for_good(refusal: aiosmtplib.SMTPRecipientRefused) -> bool:
    """Whether it is about the recipient. Many servers say only here that they refuse us, as 5.7.x (RFC 3463): relaying
    denied, sender not allowed. That is mended in the configuration."""
    return refusal.code >= 500 and refusal.code != 530 and not refusal.message.lstrip().startswith("5.7.")


def _header(mailbox: Mailbox) -> Address:
    return Address(_head(mailbox.name), addr_spec=mailbox.address)


def _head(text: str) -> str:
    """As `_line`, and without what a header is read as: an encoded word (RFC 2047) can hold the end of a line."""
    return _line(text).replace("=?", "= ?")


def _line(text: str) -> str:
    """Without what could begin another line: the names of orders come from outside."""
    return "".join(c if c.isprintable() else " " for c in text)


def _kind(error: Exception) -> str:
    # Its text may quote addresses.
    return type(error).__name__


def _moment(instant: Instant) -> datetime:
    return datetime.fromtimestamp(instant // SECOND, UTC)
