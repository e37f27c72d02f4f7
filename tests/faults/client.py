"""A client that does what the documentation asks of one: an Idempotency-Key for each batch, and again until it is
acknowledged, at whichever replica answers.

Owns the retries and what was acknowledged when. Does not know what goes wrong, nor what the answers should say.
"""

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx
import orjson

from service.replay.batches import Batch

REQUEST_S = 8.0
"""Longer than a claim on a batch lasts without its owner: whoever is tried next may take over."""
GIVE_UP_S = 240.0
"""For one batch: far longer than any fault lasts."""
PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0
"""Whatever Retry-After says: recovery is to be seen to a second."""


class NotTaken(AssertionError):
    """A batch was refused for good, or not acknowledged in time."""


@dataclass(slots=True)
class Acknowledged:
    """One batch's answer; ``at`` is ``time.monotonic()``, ``latency_s`` of the attempt that was answered."""

    batch: Batch
    body: dict[str, Any]
    at: float
    latency_s: float


@dataclass(slots=True)
class Sent:
    """What a replay came to. ``failures`` counts the attempts that failed, by what they met."""

    answers: list[Acknowledged] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    lines: int = 0


class Client:
    """Sends batches to replicas in turn. ``urls`` is read at each attempt: a restarted replica has another address.
    ``later``: with ``wait=false``, and verdicts are asked for once everything is accepted."""

    def __init__(self, urls: Callable[[], Sequence[str]], run: str, connections: int, *, later: bool = False) -> None:
        self._urls = urls
        self._run = run
        self._later = later
        self._turn = 0
        self.sent = Sent()
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(REQUEST_S, connect=5.0),
            limits=httpx.Limits(max_connections=4 * connections),
            trust_env=False,
        )

    async def close(self) -> None:
        """Let the connections go."""
        await self._http.aclose()

    async def round(self, number: int, batches: Sequence[Batch]) -> None:
        """Send the batches of one round side by side, each until it is acknowledged. Raises NotTaken."""
        await asyncio.gather(*(self._send(f"{number}-{lane}", batch) for lane, batch in enumerate(batches)))

    async def verdicts(self) -> None:
        """Where they come later: put what each batch came to in the place of its 202. Raises NotTaken."""
        for answer in self.sent.answers if self._later else []:
            verdicts: list[dict[str, Any]] = []
            since: str | None = None
            while True:
                query = {"batch": answer.body["batch"], "limit": "10000"} | ({} if since is None else {"since": since})
                page, _ = await self._answered("GET", f"/verdicts?{urlencode(query)}", b"", {}, self._done)
                verdicts += page["verdicts"]
                since = page["next"]
                if since is None:
                    break
            if page.get("failed"):
                raise NotTaken(f"batch {answer.body['batch']} failed: {page['failed']}")
            answer.body = {**answer.body, "verdicts": verdicts}

    async def _send(self, place: str, batch: Batch) -> None:
        key = hashlib.sha256(f"{self._run}\x1f{place}\x1f".encode() + batch.body).hexdigest()[:40]
        headers = {"content-type": "application/json", "idempotency-key": key}
        path = "/ingest?wait=false" if self._later else "/ingest"
        body, latency_s = await self._answered("POST", path, batch.body, headers, lambda _: True)
        self.sent.answers.append(Acknowledged(batch, body, time.monotonic(), latency_s))
        self.sent.lines += batch.lines

    @staticmethod
    def _done(body: dict[str, Any]) -> bool:
        return bool(body["state"] == "done")

    async def _answered(
        self, method: str, path: str, content: bytes, headers: dict[str, str], good: Callable[[dict[str, Any]], bool]
    ) -> tuple[dict[str, Any], float]:
        """The answer, once there is one that is ``good``, and how long its own attempt took in seconds."""
        deadline = time.monotonic() + GIVE_UP_S
        while True:
            urls = self._urls()
            self._turn += 1
            url = urls[self._turn % len(urls)]
            began = time.monotonic()
            try:
                response = await self._http.request(method, f"{url}{path}", content=content, headers=headers)
            except httpx.TransportError as error:
                met, pause = type(error).__name__, PAUSE_S
            else:
                if response.status_code in (200, 202):
                    answer: dict[str, Any] = orjson.loads(response.content)
                    if good(answer):
                        return answer, time.monotonic() - began
                elif response.status_code not in (409, 429) and response.status_code < 500:
                    raise NotTaken(f"{method} {path}: {response.status_code} {response.text[:500]}")
                met = str(response.status_code)
                pause = min(float(response.headers.get("retry-after", PAUSE_S)), LONGEST_PAUSE_S)
            if method == "POST":
                self.sent.failures[met] += 1
            if time.monotonic() > deadline:
                raise NotTaken(f"{method} {path} came to nothing within {GIVE_UP_S:g} s; at last: {met}")
            await asyncio.sleep(pause)
