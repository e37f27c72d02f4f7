"""A client of the service's HTTP surface: ingest with retries, verdicts of ended sessions, sources.

Owns what is retried and how long. A batch is sent under one Idempotency-Key however often it takes, so that a retry
judges nothing twice. Does not know where batches come from.
"""

import asyncio
import email.utils
import gzip
import hashlib
import ipaddress
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal, Self

import httpx
import orjson

from models.errors import TocsinError
from models.source.regex import shown
from service.secrets import without_secret

TRY_AGAIN = frozenset({429, 502, 503, 504})
"""502 and 504 come from proxies. A 409 is tried again where it says when: the same batch is still under way."""
PAUSE_S = 1.0
"""Between attempts where the answer does not say how long."""
JUDGED_EVERY_S = 0.2
"""How often a batch that was accepted for later is asked for."""
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 30.0
SHOWN = 300
"""Characters of an error that is passed on."""
PAGE = 5_000
"""Verdicts asked for at a time."""

Sleep = Callable[[float], Awaitable[None]]
Wanted = Literal["all", "anomalous", "none"]


class ReplayError(TocsinError):
    """The service cannot be reached, or refuses what it is sent."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds: for one request, and for all attempts of one before it counts as failed."""

    request_s: float = 60.0
    retry_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one batch. ``latency_s`` is of the request that was answered; ``retries`` those that were not."""

    body: dict[str, Any]
    latency_s: float
    retries: int


class ServiceClient:
    """Talks to one service, with connections kept open. Use as an async context manager.

    ``run_id`` makes Idempotency-Keys its own: two runs with the same id and content are one. ``sleep`` waits between
    attempts. ``headers`` and ``tls`` say who asks. Without ``wait`` a batch is answered once it is safe in the durable
    queue (``batch`` in the answer), and ``judged`` says what became of it.
    """

    def __init__(
        self,
        url: str,
        run_id: str,
        *,
        connections: int = 1,
        compress: bool = False,
        backfill: bool = False,
        wanted: Wanted = "all",
        wait: bool = True,
        limits: Limits | None = None,
        sleep: Sleep = asyncio.sleep,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | bool = True,
    ) -> None:
        there = shown(without_secret(url))
        self._run_id = run_id
        self._compress = compress
        self._mode = "backfill" if backfill else "live"
        self._wanted = wanted
        self._wait = wait
        self._limits = limits or Limits()
        self._sleep = sleep
        self._sent = 0
        try:
            self._http = httpx.AsyncClient(
                base_url=url,
                headers=headers,
                verify=tls,
                timeout=self._limits.request_s,
                limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
                # A proxy of the environment does not lead to this machine.
                trust_env=not _is_here(url),
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise ReplayError(f"{there} is no address of a service: {error}") from error
        if self._http.base_url.scheme not in ("http", "https") or not self._http.base_url.host:
            raise ReplayError(f"{there} is no address of a service; give one as in http://127.0.0.1:8000")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def source(self, name: str) -> dict[str, Any]:
        """What the service says of a source: configuration, version, live sessions. Raises ReplayError."""
        listed = (await self._get("/sources", {}, "sources"))["sources"]
        for entry in listed:
            if entry["name"] == name:
                return dict(entry)
        known = ", ".join(entry["name"] for entry in listed) or "none"
        raise ReplayError(
            f"the service has no source {shown(name)} (it has: {known}); PUT /sources/NAME configures one"
        )

    async def ingest(self, body: bytes, key: str | None = None) -> Reply:
        """Send a batch, again and again where the service asks for it. A request whose lines were all rejected is an
        answer too. ``key`` stands for the run's own Idempotency-Key. Raises ReplayError where the service refuses the
        batch, or does not take it in time."""
        number, self._sent = self._sent, self._sent + 1
        if key is None:
            key = hashlib.sha256(f"{self._run_id}\x1f{number}\x1f".encode() + body).hexdigest()[:40]
        headers = {"content-type": "application/json", "idempotency-key": key}
        if self._compress:
            # Without the time, as a retry must send the same bytes.
            body = gzip.compress(body, compresslevel=1, mtime=0)
            headers["content-encoding"] = "gzip"
        params = {"verdicts": self._wanted, "mode": self._mode, "wait": str(self._wait).lower()}
        response, latency_s, retries = await self._answered(
            self._http.build_request("POST", "/ingest", params=params, content=body, headers=headers)
        )
        answer = _decoded(response)
        if response.status_code not in (200 if self._wait else 202, 422) or "rejected" not in answer:
            raise ReplayError(_refusal(response, answer))
        return Reply(answer, latency_s, retries)

    async def judged(self, batch: str) -> dict[str, Any]:
        """What became of a batch that was accepted for later, once it is judged; waits for as long as that takes.
        Raises ReplayError where the service does not know it, or not any more."""
        params = {"batch": batch, "limit": str(PAGE)}
        answer = await self._get("/verdicts", params, "state")
        while answer["state"] != "done":
            await self._sleep(JUDGED_EVERY_S)
            answer = await self._get("/verdicts", params, "state")
        page = answer
        while page["next"] is not None:
            page = await self._get("/verdicts", {**params, "since": str(page["next"])}, "state")
            answer["verdicts"] += page["verdicts"]
        return answer

    async def newest_end(self, source: str) -> str:
        """A place in the verdicts of ended sessions such that only later ones follow it.

        By the service's clock, not this machine's.
        """
        response, _, _ = await self._answered(self._http.build_request("GET", "/healthz"))
        date = response.headers.get("date")
        seconds = 0 if date is None else int(email.utils.parsedate_to_datetime(date).timestamp()) - 1
        _, place = await self.ends(source, str(seconds))
        return place

    async def ends(self, source: str, since: str) -> tuple[list[dict[str, Any]], str]:
        """All verdicts of ended sessions after a place, oldest first, and the place after them."""
        found: list[dict[str, Any]] = []
        while True:
            page = await self._get("/verdicts", {"source": source, "since": since, "limit": str(PAGE)}, "verdicts")
            if not page["verdicts"]:
                return found, since
            found.extend(page["verdicts"])
            since = str(page["next"])

    async def _get(self, path: str, params: dict[str, str], field: str) -> dict[str, Any]:
        """An answer that has ``field``: another service may listen at the address."""
        response, _, _ = await self._answered(self._http.build_request("GET", path, params=params))
        answer = _decoded(response)
        if response.status_code != 200 or field not in answer:
            raise ReplayError(_refusal(response, answer))
        return answer

    async def _answered(self, request: httpx.Request) -> tuple[httpx.Response, float, int]:
        """A response that asks for no other attempt, its latency in seconds, and how many attempts failed before it."""
        waited = 0.0
        attempt = 0
        while True:
            began = perf_counter()
            try:
                response = await self._http.send(request)
            except httpx.TransportError as error:
                pause, why = PAUSE_S, f"{type(error).__name__} {error}".strip()
            else:
                spent = perf_counter() - began
                busy = response.status_code == 409 and "retry-after" in response.headers
                if response.status_code not in TRY_AGAIN and not busy:
                    return response, spent, attempt
                pause, why = _retry_after(response), _refusal(response, _decoded(response))
            waited += perf_counter() - began + pause
            if waited > self._limits.retry_s:
                address = f"{request.url.scheme}://{request.url.netloc.decode()}"
                raise ReplayError(
                    f"{address} did not take {request.method} {request.url.path} in {attempt + 1} attempts ({why}); "
                    "does the service run there? `tocsin serve` starts one"
                )
            attempt += 1
            await self._sleep(pause)


def printable(text: str) -> str:
    """Text that came from elsewhere, fit for an error: control characters are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _is_here(url: str) -> bool:
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _retry_after(response: httpx.Response) -> float:
    """Seconds that the answer asks to wait (RFC 9110 has a date as well; the service sends seconds)."""
    said = response.headers.get("retry-after", "")
    return min(max(float(said), SHORTEST_PAUSE_S), LONGEST_PAUSE_S) if said.isdecimal() else PAUSE_S


def _decoded(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _refusal(response: httpx.Response, answer: dict[str, Any]) -> str:
    said = printable(str(answer.get("error", response.text))[:SHOWN])
    return f"{response.request.url.path} answered {response.status_code}: {said}"
