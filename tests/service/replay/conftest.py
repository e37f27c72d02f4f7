"""A real HTTP peer that answers as told and remembers what it was asked."""

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson
import pytest


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Peer:
    """``answers`` are given in turn, (status, headers, body as JSON or bytes); the last one again and again."""

    answers: deque[tuple[int, dict[str, str], object]] = field(default_factory=deque)
    seen: list[Seen] = field(default_factory=list)
    url: str = ""

    def answer(self, status: int, body: object = None, **headers: str) -> None:
        self.answers.append((status, {k.replace("_", "-"): v for k, v in headers.items()}, body))


def ingested(**changes: object) -> dict[str, object]:
    """A body as ``POST /ingest`` answers it."""
    return {"source": "shop", "received": 1, "rejected": [], "verdicts": [], "versions": {"bundle": "1"}} | changes


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            size = int(self.headers.get("content-length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            peer.seen.append(Seen(self.command, self.path, headers, self.rfile.read(size)))
            status, extra, body = peer.answers.popleft() if len(peer.answers) > 1 else peer.answers[0]
            content = body if isinstance(body, bytes) else orjson.dumps(body)
            self.send_response(status)
            for name, value in {**extra, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Nothing on standard error."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        peer.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield peer
        server.shutdown()
        thread.join()
