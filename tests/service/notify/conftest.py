"""A real HTTP peer that does as it is told, and senders over an empty Redis."""

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from service.metrics import Metrics
from service.notify.channels import open_channel
from service.notify.config import Target
from service.notify.sender import Sender
from service.state import incidents
from service.state.incidents import Effect
from tests.service.serving import until

PATIENCE_S = 60.0
HANG = "hang"
CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Request:
    """What came in; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass(slots=True)
class Answer:
    """A status with headers, or HANG (nothing until the test is over) or CLOSE (the connection, without an answer)."""

    status: int | str = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class HttpPeer:
    """An HTTP server on a free port. The first answers are those of ``script``, all others 200."""

    def __init__(self) -> None:
        self.script: list[Answer] = []
        self.requests: list[Request] = []
        self.otherwise = Answer()
        self._over = threading.Event()
        peer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = peer.script.pop(0) if peer.script else peer.otherwise
                peer.requests.append(Request(self.path, headers, body))
                if answer.status == HANG:
                    peer._over.wait(PATIENCE_S)
                if isinstance(answer.status, str):
                    self.close_connection = True
                    # A reset, as of a process that was killed.
                    linger = struct.pack("ii", 1, 0)
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    return
                self.send_response(answer.status)
                for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that gave up is no error."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def deliveries(self) -> list[str]:
        return [request.headers["x-tocsin-delivery"] for request in self.requests]

    @property
    def incidents(self) -> list[str]:
        """Ids of incidents in the order in which they were told."""
        return [request.json["incident"]["id"] for request in self.requests if request.json["kind"] == "incident"]

    def close(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def peer() -> Iterator[HttpPeer]:
    server = HttpPeer()
    yield server
    server.close()


@pytest.fixture
def other_peer() -> Iterator[HttpPeer]:
    server = HttpPeer()
    yield server
    server.close()


@dataclass(slots=True)
class Clock:
    """A clock that stands still until it is moved."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


OpenSender = Callable[..., Sender]


@pytest.fixture
async def sender_to(redis: Redis, clock: Clock) -> AsyncIterator[OpenSender]:
    """Makes a sender of a webhook at a URL for source ``s``, whose rounds the test runs."""
    made: list[Sender] = []

    def make(url: str, names: Callable[[], list[str]] = lambda: ["s"], **given: Any) -> Sender:
        target = Target(**{"name": "hook", "kind": "webhook", "url": url, "retry_s": 0.01, "timeout_s": 60.0, **given})
        sender = Sender(
            target,
            open_channel(target, clock),
            redis=redis,
            names=names,
            public_url="https://tocsin.example",
            metrics=Metrics(CollectorRegistry()),
            clock=clock,
        )
        made.append(sender)
        return sender

    yield make
    for sender in made:
        await sender.stop()


def counted(sender: Sender, outcome: str, source: str = "s") -> float:
    """How many notices had an outcome."""
    labels = {"notifier": sender.target.name, "source": source, "outcome": outcome}
    return sender._metrics.registry.get_sample_value("tocsin_notices_total", labels) or 0.0


async def raise_incidents(redis: Redis, *names: str, source: str = "s", score: float = 1.0, **body: Any) -> None:
    """Raise one incident for each name, all with one score."""
    effects = [Effect(name, incident_body(source, session=f"session-{name}", **body), score, 10.0) for name in names]
    await incidents.apply(redis, source, effects, 1_800_000_000.0)


def incident_body(source: str, **given: Any) -> bytes:
    """A body as the pipeline stores one."""
    body = {
        "source": source, "session": "session", "kind": "line", "cause": "c0ffee", "detector": "new_event",
        "template": "gone <*>", "line": "gone for good", "version": "1", "window": [],
        "reasons": [{"detector": "new_event", "raw": 1.0, "score": 1.0, "share": 1.0}],
    }  # fmt: skip
    return orjson.dumps({**body, **given})


async def rounds_until(sender: Sender, happened: Callable[[], Any], what: str) -> None:
    """Run rounds until something is true."""

    async def one_more() -> bool:
        if happened():
            return True
        await sender.round()
        return bool(happened())

    await until(one_more, what, PATIENCE_S)


async def quiet_rounds(sender: Sender, count: int = 3) -> None:
    """Run rounds in which nothing should happen."""
    for _ in range(count):
        await sender.round()
        await asyncio.sleep(0)
