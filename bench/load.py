"""Sends webhooks: connections that are kept alive, each with its next request as soon as the answer is there."""

import asyncio
import hmac
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from statistics import quantiles

import uvloop

from bench.events import STRIPE
from bench.machine import cpu_seconds
from bench.site import SECRET, SHOP_TOKEN, Process
from storage.database import NewEvent


@dataclass(frozen=True)
class Sent:
    """What one run came to."""

    per_second: float
    per_cpu_second: float
    """By the processor time of the server: hardly disturbed by what else the machine does."""
    p50_ms: float
    p99_ms: float
    sender_busy: float
    """The share of the time in which the sender itself was working: near 1, it is the sender that was measured."""


def drive(server: Process, connections: int, events: Callable[[], Iterable[NewEvent]]) -> Sent:
    """Send the events, each of them new; the first tenth is not measured. Raises RuntimeError where one is refused."""
    requests = [_request(event) for event in events()]
    warm_up = len(requests) // 10
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_drive(server, connections, requests[:warm_up], requests[warm_up:]))


async def _drive(server: Process, connections: int, warm_up: list[bytes], requests: list[bytes]) -> Sent:
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(_Connection, "127.0.0.1", server.port) for _ in range(connections)]
    protocols = [protocol for _, protocol in opened]
    await _send(protocols, warm_up)
    cpu, own, began = cpu_seconds(server.pid), time.process_time(), time.perf_counter()
    latencies = await _send(protocols, requests)
    seconds = time.perf_counter() - began
    own, cpu = time.process_time() - own, cpu_seconds(server.pid) - cpu
    for transport, _ in opened:
        transport.close()
    percentiles = quantiles(latencies, n=100)
    return Sent(
        per_second=len(requests) / seconds,
        per_cpu_second=len(requests) / max(cpu, 0.01),  # the kernel counts in hundredths
        p50_ms=percentiles[49] * 1000,
        p99_ms=percentiles[98] * 1000,
        sender_busy=own / seconds,
    )


async def _send(connections: list["_Connection"], requests: list[bytes]) -> list[float]:
    """Share the requests among the connections; seconds to each answer."""
    left = iter(requests)
    latencies: list[float] = []
    await asyncio.gather(*(connection.send(left, latencies) for connection in connections))
    return latencies


class _Connection(asyncio.Protocol):
    """One request at a time. Callbacks, not streams: the sender has to be much faster than the server."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def send(self, requests: Iterator[bytes], latencies: list[float]) -> asyncio.Future[None]:
        """Done when there are no requests left."""
        self._requests = requests
        self._latencies = latencies
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._next()
        return self._done

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._done.set_result(None)
            return
        self._answer = b""
        self._began = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._answer.endswith(b"}"):  # every answer is a JSON object; head and body may come apart
            return
        self._latencies.append(time.perf_counter() - self._began)
        if self._answer.endswith(b'{"status":"accepted"}'):
            self._next()
        else:
            self._done.set_exception(RuntimeError(f"a delivery was answered {self._answer!r}"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or RuntimeError("the server closed a connection"))


def _request(event: NewEvent) -> bytes:
    """The whole HTTP request, signed now as the sender of the event does."""
    if event.source == STRIPE:
        now = b"%d" % time.time()
        mac = hmac.digest(SECRET.encode(), now + b"." + event.body, "sha256").hex().encode()
        proof = b"stripe-signature: t=%s,v1=%s" % (now, mac)
    else:
        proof = b"x-webhook-token: %s" % SHOP_TOKEN.encode()
    head = (
        b"POST /webhooks/%s HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%s\r\n"
    )
    return head % (event.source.encode(), len(event.body), proof) + b"\r\n" + event.body
