"""Load for longer than a test takes: a soak below capacity, and an offer far above it.

Owns pace and figures. Sessions are new in every pass over the log, and its times move on, so that everything churns as
it does in a running system.
"""

import asyncio
import itertools
import math
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
from rich.console import Console
from rich.table import Table

from tests.faults.house import House, Material, house

BATCH = 500
"""Lines of one request."""
MEASURED_S = 20.0
CALM_SHARE = 0.3
OVERLOAD_S = 30.0
OVERLOADED = 2.5
IN_FLIGHT = 400
"""Requests that the client has open at most."""
MIB = 2**20


@dataclass(slots=True)
class Tally:
    """What came back: (when it was due, seconds it took) of what was acknowledged, statuses, lines taken and not."""

    latencies: list[tuple[float, float]] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    lines: int = 0
    dropped: int = 0


async def soak(material: Material, minutes: float, share: float, console: Console) -> dict[str, Any]:
    """Offer a share of the measured capacity for so many minutes; a row of figures each minute."""
    async with house(material) as running, _client() as http:
        bodies = _bodies(material)
        capacity = await _capacity(http, running, bodies)
        rate = share * capacity
        console.print(f"capacity {capacity:,.0f} lines/s; offering {rate:,.0f} for {minutes:g} min")
        table = Table(title=f"soak at {share:.0%} of capacity", title_justify="left", box=None)
        for column in ("minute", "lines/s", "p50 ms", "p99 ms", "dropped lines", "service MiB", "Redis MiB"):
            table.add_column(column, justify="right")
        rows = []
        for number in range(math.ceil(minutes)):
            minute_s = 60.0 * min(1.0, minutes - number)
            tally = await _offer(http, running, bodies, rate, minute_s)
            row = {
                "minute": number + 1, "lines_per_s": tally.lines / minute_s, **_quantiles(tally),
                "dropped": tally.dropped, "rss_mib": running.replicas[0].rss_mib(),
                "redis_mib": await asyncio.to_thread(running.redis.used_memory) / MIB,
            }  # fmt: skip
            rows.append(row)
            shown = [f"{row['minute']}", *(f"{row[name]:,.0f}" for name in list(row)[1:])]
            console.print("  ".join(shown), highlight=False)
            table.add_row(*shown)
        console.print(table)
        return {"capacity": capacity, "share": share, "minutes": rows}


async def overload(material: Material, minutes: float, share: float, console: Console) -> dict[str, Any]:
    """Offer more than it can take, then little: what was refused, what was taken, and how soon all is calm again."""
    async with house(material) as running, _client() as http:
        bodies = _bodies(material)
        capacity = await _capacity(http, running, bodies)
        calm = _quantiles(await _offer(http, running, bodies, CALM_SHARE * capacity, MEASURED_S / 2))["p99_ms"]
        tally = await _offer(http, running, bodies, OVERLOADED * capacity, OVERLOAD_S)
        over = time.monotonic()
        after = await _offer(http, running, bodies, CALM_SHARE * capacity, MEASURED_S)
        slow = [due for due, latency_s in after.latencies if latency_s * 1000 > 2 * calm]
        requests = sum(tally.statuses.values())
        refused = tally.statuses["429"]
        found = {
            "capacity": capacity, "offered": requests * BATCH / OVERLOAD_S, "statuses": dict(tally.statuses),
            "refused_share": refused / max(1, requests),
            "server_errors": sum(count for what, count in tally.statuses.items() if what >= "500" and what.isdigit()),
            "goodput_share": tally.lines / OVERLOAD_S / capacity,
            "calm_p99_ms": calm, "recovered_s": max(slow, default=over) - over,
        }  # fmt: skip
        for name, value in found.items():
            console.print(f"  {name}: {value}", highlight=False)
        return found


def _bodies(material: Material) -> Iterator[tuple[bytes, int]]:
    """Requests without end. Each pass over the log has sessions of its own, and times that follow on the last one's."""
    records = material.records
    first = dict(zip(records.session_record.tolist()[::-1], records.session.to_list()[::-1], strict=True))
    places = records.index.tolist()
    times = records.time.tolist()
    span = times[-1] - times[0] + 1.0
    # The whole of it ends now at the latest: lines of the future are refused.
    began = time.time() - 400 * 86_400.0
    for number in itertools.count():
        for at in range(0, len(places), BATCH):
            rows = [
                {
                    "line": material.lines[places[row]], "session": f"{first[row]}-{number}",
                    "timestamp": began + number * span + times[row] - times[0],
                }
                for row in range(at, min(at + BATCH, len(places)))
            ]  # fmt: skip
            yield orjson.dumps({"source": material.source.name, "records": rows}), len(rows)


def _client() -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    return httpx.AsyncClient(timeout=60.0, limits=limits, trust_env=False)


async def _capacity(http: httpx.AsyncClient, running: House, bodies: Iterator[tuple[bytes, int]]) -> float:
    """Lines a second from four connections that always have a request under way; the first half does not count."""
    tally = Tally()
    marks = []
    for _ in range(2):
        before, began = tally.lines, time.monotonic()

        async def keep(until: float) -> None:
            while time.monotonic() < until:
                body, lines = next(bodies)
                await _post(http, running, body, lines, time.monotonic(), tally)

        await asyncio.gather(*(keep(began + MEASURED_S / 2) for _ in range(4)))
        marks.append((tally.lines - before) / (time.monotonic() - began))
    return marks[1]


async def _offer(
    http: httpx.AsyncClient, running: House, bodies: Iterator[tuple[bytes, int]], rate: float, seconds: float
) -> Tally:
    """Send at ``rate`` lines a second whatever comes back; latency runs from when a request was due."""
    tally = Tally()
    tasks: set[asyncio.Task[None]] = set()
    began = time.monotonic()
    due = began
    while due < began + seconds:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        body, lines = next(bodies)
        if len(tasks) >= IN_FLIGHT:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        task = asyncio.create_task(_post(http, running, body, lines, due, tally))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        due += lines / rate
    await asyncio.gather(*tasks)
    return tally


async def _post(http: httpx.AsyncClient, running: House, body: bytes, lines: int, due: float, tally: Tally) -> None:
    key = f"{time.monotonic_ns()}"
    headers = {"content-type": "application/json", "idempotency-key": key}
    url = f"{running.replicas[0].url}/ingest?verdicts=anomalous"
    try:
        response = await http.post(url, content=body, headers=headers)
    except httpx.TransportError as error:
        tally.statuses[type(error).__name__] += 1
        tally.dropped += lines
        return
    tally.statuses[str(response.status_code)] += 1
    if response.status_code != 200:
        tally.dropped += lines
        return
    answer = orjson.loads(response.content)
    tally.lines += lines - len(answer["rejected"])
    tally.dropped += len(answer["rejected"])
    tally.latencies.append((due, time.monotonic() - due))


def _quantiles(tally: Tally) -> dict[str, float]:
    taken = sorted(latency_s * 1000 for _, latency_s in tally.latencies)
    if len(taken) < 2:
        return {"p50_ms": 0.0, "p99_ms": 0.0}
    hundredths = statistics.quantiles(taken, n=100, method="inclusive")
    return {"p50_ms": hundredths[49], "p99_ms": hundredths[98]}
