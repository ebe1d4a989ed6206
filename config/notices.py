"""The settings of what Refund Ledger tells of its own accord: customers by mail, other systems of exceptions."""

import base64
import binascii
import re
from string import Template
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from config.values import Secret, is_loopback, together_with

PLACEHOLDERS = ("amount", "brand", "date", "order")
"""What a template may name."""

DEFAULT_TEMPLATE = """\
Subject: Your refund of $amount for order $order

Hello,

on $date we returned $amount for your order $order, by the way you had paid it.
It can take your bank a few working days to show it.

$brand
"""

# What is between two blanks in a header and needs no quoting, so that nothing in it can be anything but an address,
# nor how an encoded word (RFC 2047) begins.
ADDRESS = re.compile(
    r"(?=.{3,254}\Z)(?!.*=\?)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63}"
)


class Mailbox(NamedTuple):
    """Where mail comes from or goes to."""

    name: str
    """To be shown; may be empty."""
    address: str

    def __str__(self) -> str:
        return f"{self.name} <{self.address}>" if self.name else self.address


class NoticeTemplate(NamedTuple):
    """A message with placeholders. What they stand for goes in once: it cannot bring in others."""

    subject: str
    body: str


def _mailbox(value: object) -> Mailbox:
    match = re.fullmatch(r"([^<>\"]*)<([^<>]+)>|([^<>]+)", value) if isinstance(value, str) else None
    name, address = ((match[1] or "").strip(), (match[2] or match[3]).strip()) if match else ("", "")
    if not ADDRESS.fullmatch(address) or not name.isprintable():
        raise ValueError('write an address, as "refunds@example.com" or "Example Print <refunds@example.com>"')
    return Mailbox(name, address)


def template_of(text: object) -> NoticeTemplate:
    """The template that the text is. Raises ValueError, which says what is wrong with it."""
    head, _, body = text.replace("\r\n", "\n").partition("\n") if isinstance(text, str) else ("", "", "")
    subject = head.removeprefix("Subject:").strip()
    if not head.startswith("Subject:") or not subject or not body.startswith("\n") or not body.strip():
        raise ValueError('write "Subject: …" in the first line, then an empty line, then the message')
    for part in map(Template, (subject, body)):
        if not part.is_valid():
            raise ValueError("has a $ without a name behind it; write $$ for the character itself")
        if unknown := sorted(set(part.get_identifiers()) - set(PLACEHOLDERS)):
            raise ValueError(f"${unknown[0]} stands for nothing; there are ${', $'.join(PLACEHOLDERS)}")
    return NoticeTemplate(subject, f"{body.strip()}\n")


def _receiver_url(value: Secret) -> Secret:
    try:
        url = urlsplit(value.get_secret_value())
        host, _ = url.hostname, url.port
    except ValueError:
        host = None
    safe = host and (url.scheme == "https" or _is_local_http(url.scheme, host))
    if not safe or "@" in url.netloc or url.fragment:
        raise ValueError("write https://…, without a user or a fragment; plain http is allowed on loopback only")
    return value


def _is_local_http(scheme: str, host: str) -> bool:
    return scheme == "http" and is_loopback(host)


MailboxText = Annotated[Mailbox, BeforeValidator(_mailbox), PlainSerializer(str)]
TemplateText = Annotated[NoticeTemplate, BeforeValidator(template_of), PlainSerializer(lambda t: t.subject)]
"""Shown by its subject."""
ReceiverUrl = Annotated[Secret, AfterValidator(_receiver_url)]
"""A secret: whoever knows the address of an incoming webhook can write to it."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True)


class StoreNotice(_Table):
    """What is different in the messages to the customers of one storefront."""

    sender: MailboxText | None = None
    reply_to: MailboxText | None = None
    brand: str | None = None
    template: TemplateText | None = None


class CustomerNotice(_Table):
    """How customers are told that their money went back; where there is no such table, nobody is told."""

    smtp_host: str = Field(pattern=r"^[A-Za-z0-9.:-]+$")
    smtp_port: int | None = Field(None, ge=1, le=65535)
    """None: 587, or 465 for `tls`."""
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_username: str | None = None
    smtp_password: Annotated[Secret | None, together_with("smtp_username")] = None
    sender: MailboxText
    reply_to: MailboxText | None = None
    brand: str | None = None
    """None: the sender's name."""
    template: TemplateText = DEFAULT_TEMPLATE  # type: ignore[assignment]
    kinds: tuple[Literal["refund", "void", "chargeback"], ...] = Field(("refund",), min_length=1)
    except_sources: tuple[str, ...] = ()
    """Gateways that tell the customer themselves."""
    stores: dict[str, StoreNotice] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _safe(self) -> "CustomerNotice":
        if self.smtp_security == "none" and not is_loopback(self.smtp_host):
            raise ValueError('smtp_security = "none" is allowed on loopback only: write "starttls" or "tls"')
        return self

    @property
    def port(self) -> int:
        """Where the mail server listens."""
        return self.smtp_port or (465 if self.smtp_security == "tls" else 587)


class Receiver(_Table):
    """Whom to tell of new, changed and cleared exceptions."""

    kind: Literal["webhook", "slack"]
    url: ReceiverUrl
    secret: Secret | None = None
    """webhook: what messages are signed with, as Standard Webhooks writes it."""

    @model_validator(mode="after")
    def _signed(self) -> "Receiver":
        if self.kind == "slack" and self.secret is not None:
            raise ValueError("a slack receiver has no secret: leave it out")
        if self.kind == "webhook" and (self.secret is None or not _is_signing_secret(self.secret.get_secret_value())):
            raise ValueError('a webhook needs a secret: write "whsec_" and 24 to 64 random bytes in base64')
        return self


def _is_signing_secret(text: str) -> bool:
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        return False
    return text.startswith("whsec_") and 24 <= len(key) <= 64
