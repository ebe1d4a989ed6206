"""A mail server: takes messages, or refuses and breaks off as a test has put in line."""

import asyncio
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

CUT_OFF = "cut off"
"""In place of an answer: the connection ends, with the message already taken."""

LOGIN = ("shop", "smtp-password-of-the-tests")


@dataclass
class FakeMailServer:
    """What it was sent, and how it answers next: None is a yes."""

    messages: list[EmailMessage] = field(default_factory=list)
    senders: list[str] = field(default_factory=list)
    recipients: deque[str | None] = field(default_factory=deque)
    """The answers to the next recipients."""
    data: deque[str | None] = field(default_factory=deque)
    """The answers to the next messages."""
    taken: Callable[[], object] = lambda: None
    """Called when a message is there, before it is answered."""
    logins: list[bytes] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's names and arguments, here and below
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """One recipient."""
        refusal = self.recipients.popleft() if self.recipients else None
        if refusal is None:
            envelope.rcpt_tos.append(address)
        return refusal or "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """One message."""
        answer = self.data.popleft() if self.data else None
        if answer in (None, CUT_OFF):
            content = cast("bytes", envelope.content).replace(b"\r\n", b"\n")
            self.messages.append(message_from_bytes(content, policy=default))
            self.senders.append(str(envelope.mail_from))
        self.taken()
        if answer == CUT_OFF:
            cast("asyncio.Transport", server.transport).abort()
        return answer or "250 OK"

    def login(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, given: LoginPassword) -> AuthResult:  # noqa: ANN401
        """Name and password."""
        self.logins.append(given.login)
        right = (given.login.decode(), given.password.decode()) == LOGIN
        return AuthResult(success=right, handled=right)

    @contextmanager
    def serving(self, tls: ssl.SSLContext | None = None, *, at_once: bool = False) -> Iterator[int]:
        """Its port. With `tls` by STARTTLS, or from the first byte, and with a login."""
        loop = asyncio.new_event_loop()

        def protocol() -> SMTP:
            more: dict[str, Any] = {"authenticator": self.login} if tls else {}
            if at_once:
                more |= {"auth_require_tls": False}  # it does not know that there is TLS around it
            elif tls:
                more |= {"tls_context": tls, "require_starttls": True, "auth_required": True}
            return SMTP(self, hostname="mail.example.com", loop=loop, **more)

        started: asyncio.Future[asyncio.Server] = loop.create_future()

        async def serve() -> None:
            started.set_result(await loop.create_server(protocol, "127.0.0.1", 0, ssl=tls if at_once else None))

        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        asyncio.run_coroutine_threadsafe(serve(), loop).result(10)
        server = started.result()
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            asyncio.run_coroutine_threadsafe(_end(server), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
