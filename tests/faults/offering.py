"""Sending to one replica, as fast as it answers or at a pace of its own, and counting what came back.

Owns pace and counts. A request has an Idempotency-Key, as clients are asked to send one. Does not know what is in a
request (``traffic``).
"""

import asyncio
import ssl
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import httpx
import orjson
from rich.console import Console

from tests.faults.house import House
from tests.faults.traffic import Lanes

IN_FLIGHT = 96
"""Requests that are open at most: more than a full queue holds, and what is at work."""
CONNECTIONS = (2, 4, 8, 16, 32)
SHOWN = 300
"""Characters of an error."""
STEP_S = 8.0
WARM_S = 2.0
BETTER = 1.05
NO_BETTER = 2
"""In a row: a single step may have met something else that the machine did."""
BUSY = 0.8
"""Share of a core below which a service that is kept busy waits for something: mostly for the machine."""


@dataclass(slots=True)
class Tally:
    """What came back: (when it was due, when it was answered, lines) of what was taken, statuses, lines not taken."""

    answers: list[tuple[float, float, int]] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    lines: int = 0
    dropped: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """What the service said where it failed."""

    def rate(self, began: float, ended: float) -> float:
        """Lines a second that were answered between two times. What is answered after the last one does not count."""
        return sum(lines for _, at, lines in self.answers if began <= at < ended) / (ended - began)

    def quantiles(self) -> dict[str, float]:
        """Latencies in ms."""
        taken = sorted((at - due) * 1000 for due, at, _ in self.answers)
        if len(taken) < 2:
            return {"p50_ms": 0.0, "p99_ms": 0.0}
        hundredths = statistics.quantiles(taken, n=100, method="inclusive")
        return {"p50_ms": hundredths[49], "p99_ms": hundredths[98]}


@dataclass(slots=True)
class Sent:
    """Requests that were sent from ``began`` to ``ended``, and those not answered yet; the next is ``due``, seconds."""

    tally: Tally
    under_way: set[asyncio.Task[int]]
    began: float
    due: float = 0.0
    ended: float = 0.0

    def __post_init__(self) -> None:
        self.due = self.began


class Meter:
    """Shares of a core that service, Redis and this client take between two looks."""

    def __init__(self, running: House) -> None:
        self._running = running
        self._before = self._now()

    def shares(self) -> dict[str, float]:
        """Since the last look, or the beginning."""
        before, self._before = self._before, self._now()
        at, spent = self._before
        return {
            f"{name}_cpu": (now - then) / max(1e-9, at - before[0])
            for name, now, then in zip(("service", "redis", "client"), spent, before[1], strict=True)
        }

    def _now(self) -> tuple[float, tuple[float, float, float]]:
        running = self._running
        return time.monotonic(), (running.replicas[0].cpu_s(), running.redis.cpu_s(), time.process_time())


class Clients:
    """So many clients of one connection each: the pool of a single one looks through all of its connections for each
    request, which with a hundred of them took more of a core than the service got."""

    def __init__(self, clients: Sequence[httpx.AsyncClient]) -> None:
        self._free: asyncio.LifoQueue[httpx.AsyncClient] = asyncio.LifoQueue()
        for one in clients:
            self._free.put_nowait(one)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """The answer to one request. Raises httpx.TransportError."""
        one = await self._free.get()
        try:
            return await one.post(url, content=body, headers=headers)
        finally:
            self._free.put_nowait(one)


class Sender:
    """Who sends to a house's first replica."""

    def __init__(self, http: Clients, running: House, lanes: Lanes) -> None:
        self._http = http
        self._running = running
        self._lanes = lanes

    async def capacity(self, console: Console, step_s: float = STEP_S) -> float:
        """The most lines a second that the service answers when it is kept busy.

        A few connections that always have a request under way, twice as many, and so on, until more of them are not
        answered faster ``NO_BETTER`` times; the largest of these rates. Each step counts from ``WARM_S`` on.
        """
        best, busiest, in_vain = 0.0, 0.0, 0
        for connections in CONNECTIONS:
            meter = Meter(self._running)
            rate = await self.busy(connections, step_s)
            shares = meter.shares()
            console.print(f"  {connections} connections: {rate:,.0f} lines/s; {said(shares)}", highlight=False)
            busiest = max(busiest, shares["service_cpu"])
            in_vain = 0 if rate > BETTER * best else in_vain + 1
            best = max(best, rate)
            if in_vain == NO_BETTER:
                break
        if busiest < BUSY:
            console.print(f"  the service got {busiest:.0%} of a core: is the machine busy with something else?")
        return best

    async def busy(self, connections: int, seconds: float) -> float:
        """Lines a second, answered to so many connections that always have a request under way."""
        tally = Tally()
        began = time.monotonic()

        async def keep() -> None:
            while time.monotonic() < began + seconds:
                await self._post(time.monotonic(), tally)

        await asyncio.gather(*(keep() for _ in range(connections)))
        return tally.rate(began + min(WARM_S, seconds / 4), began + seconds)

    async def offer(self, rate: float, seconds: float) -> tuple[Tally, float, float]:
        """Send ``rate`` lines a second whatever comes back; latency runs from when a request was due. What came back,
        and when it began and ended."""
        sent = await self.send(rate, seconds)
        await asyncio.gather(*sent.under_way)
        return sent.tally, sent.began, sent.ended

    async def send(self, rate: float, seconds: float, began: float | None = None) -> "Sent":
        """The same without waiting for the last answers: whoever goes on at ``Sent.due`` leaves no gap."""
        sent = Sent(Tally(), set(), began or time.monotonic())
        lines = self._lanes.pieces[0].lines
        while sent.due < sent.began + seconds:
            await asyncio.sleep(max(0.0, sent.due - time.monotonic()))
            if len(sent.under_way) >= IN_FLIGHT:
                await asyncio.wait(sent.under_way, return_when=asyncio.FIRST_COMPLETED)
            task = asyncio.create_task(self._post(sent.due, sent.tally))
            sent.under_way.add(task)
            task.add_done_callback(sent.under_way.discard)
            sent.due += len(lines) / rate
        sent.ended = time.monotonic()
        return sent

    async def _post(self, due: float, tally: Tally) -> int:
        lane = self._lanes.take()
        try:
            request = lane.request(time.time())
            headers = {"content-type": "application/json", "idempotency-key": request.key}
            url = f"{self._running.replicas[0].url}/ingest?verdicts=anomalous"
            try:
                response = await self._http.post(url, request.body, headers)
            except httpx.TransportError as error:
                tally.statuses[type(error).__name__] += 1
                tally.dropped += request.lines
                return 0
            tally.statuses[str(response.status_code)] += 1
            if response.status_code >= 500:
                tally.errors[response.text[:SHOWN]] += 1
            if response.status_code != 200:
                tally.dropped += request.lines
                return 0
            lane.taken()
            rejected = len(orjson.loads(response.content)["rejected"])
            tally.lines += request.lines - rejected
            tally.dropped += rejected
            tally.answers.append((due, time.monotonic(), request.lines - rejected))
            return request.lines
        finally:
            self._lanes.leave(lane)


def said(shares: dict[str, float]) -> str:
    """CPU shares in words."""
    return ", ".join(f"{name.removesuffix('_cpu')} {share:.0%}" for name, share in shares.items()) + " of a core"


@asynccontextmanager
async def clients() -> AsyncIterator[Clients]:
    """As many as may be needed at once."""
    context = ssl.create_default_context()
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
    async with AsyncExitStack() as opened:
        yield Clients(
            [
                await opened.enter_async_context(
                    httpx.AsyncClient(timeout=60.0, limits=limits, trust_env=False, verify=context)
                )
                for _ in range(IN_FLIGHT)
            ]
        )
