"""Everything that a run stands on: a Redis, two replicas, a proxy before Redis, and what is replayed through them.

Owns start and end of all of it, and the replay. Does not know what goes wrong meanwhile (``faults``).
"""

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import training.sample
from models.bundles import SHIPPED, BundleStore
from models.record import Records
from models.source.config import Source
from service.replay.batches import Batch, rounds
from tests.faults import outcome
from tests.faults.client import Client, Sent
from tests.faults.outcome import Outcome
from tests.faults.proxy import Proxy
from tests.faults.redis_server import RedisServer
from tests.faults.replica import Replica
from training.corpus import split_log
from training.logs import read_lines

NAMES = ("one", "other")
CONNECTIONS = 2
SETTLED_WITHIN_S = 60.0


def faketime() -> Path | None:
    """The library that sets one process's clock; None where it is not installed (Debian's ``faketime``)."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


@dataclass(frozen=True, slots=True)
class Material:
    """What is replayed: ``bundles`` is a folder of bundles; ``log`` its lines, split; over so many ``connections``.

    Requests of two connections overlap, and which of them moves the clock first is nobody's: a log in which sessions
    are silent for just as long as ends them comes to the same twice over one connection only."""

    source: Source
    bundles: Path
    lines: list[str]
    records: Records
    batch_lines: int
    connections: int = CONNECTIONS

    @property
    def silence_s(self) -> float:
        """How long after its last line a session is closed, seconds: its version's ``idle_s`` and ``lateness_s``."""
        store = BundleStore(self.bundles)
        settings = store.load(self.source.name, store.newest(self.source.name) or "").manifest.session
        return settings.idle_s + settings.lateness_s

    @property
    def rounds(self) -> list[list[Batch]]:
        """Requests in order, those of a round side by side; at the end one closes every session."""
        return list(rounds(self.source, self.lines, self.records, self.batch_lines, self.connections, "end_of_log"))


def sample(lines: slice = slice(16_000, None), batch_lines: int = 200) -> Material:
    """A part of the recorded sample with the shipped bundle, which was trained on an earlier part."""
    log = read_lines([Path(training.sample.__file__).parent / "postgres.log.gz"])
    begins = next(i for i in range(lines.start or 0, len(log)) if not log[i].startswith("\t"))
    return _material("postgres", SHIPPED, log[begins : lines.stop], batch_lines)


def given(source: str, log: Path, bundles: Path, batch_lines: int, lines: int | None = None) -> Material:
    """A log and a folder of bundles of its source."""
    return _material(source, bundles, read_lines([log])[:lines], batch_lines)


def _material(name: str, bundles: Path, lines: list[str], batch_lines: int) -> Material:
    source = Source.load(name)
    return Material(source, bundles, lines, split_log(source, lines, time.time()), batch_lines)


@dataclass(slots=True)
class House:
    """A running house. ``proxies`` has one for each replica, between it and Redis, where proxies were asked for."""

    folder: Path
    redis: RedisServer
    replicas: list[Replica]
    proxies: list[Proxy]

    def urls(self) -> list[str]:
        """Where the replicas listen now."""
        return [replica.url for replica in self.replicas]

    @property
    def clock(self) -> Path:
        """Says how far the first replica's clock is off, where it can be set."""
        return self.folder / "clock"

    def set_clock(self, offset_s: int) -> None:
        """Put the first replica's clock ahead of this machine's, or behind it."""
        spare = self.clock.with_suffix(".new")
        spare.write_text(f"{offset_s:+d}")
        spare.replace(self.clock)


@dataclass(slots=True)
class Run:
    """A replay that was disturbed, or was not. Times in seconds; ``stalled_s`` is the longest that no batch was
    acknowledged, ``healed_s`` from the end of the last disturbance to the next acknowledged batch of all connections
    (None: nothing was disturbed)."""

    outcome: Outcome
    sent: Sent
    seconds: float
    stalled_s: float
    healed_s: float | None


Disturb = Callable[["House", "Stage"], Coroutine[Any, Any, None]]


class Stage:
    """How far a replay is, for whoever disturbs it."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._moved = asyncio.Event()
        self._goes_on = asyncio.Event()
        self._goes_on.set()
        self._idle = asyncio.Event()
        self.done = 0
        self.healed_at: list[float] = []

    def move(self, done: int) -> None:
        """So many rounds are acknowledged."""
        self.done = done
        self._moved.set()

    async def at(self, share: float) -> None:
        """Wait until this share of the replay is acknowledged, and the next round is on its way."""
        while self.done < share * self._total:
            self._moved.clear()
            await self._moved.wait()

    @contextlib.asynccontextmanager
    async def lull(self) -> AsyncIterator[None]:
        """Nothing is sent meanwhile: what is under way is answered first."""
        self._goes_on.clear()
        await self._idle.wait()
        try:
            yield
        finally:
            self._goes_on.set()

    async def clear(self) -> None:
        """Wait until the next round may go."""
        self._idle.set()
        await self._goes_on.wait()
        self._idle.clear()

    def healed(self) -> None:
        """The disturbance is over: from here on recovery is timed."""
        self.healed_at.append(time.monotonic())


@contextlib.asynccontextmanager
async def house(
    material: Material,
    *,
    proxied: bool = False,
    fsync: str = "always",
    clocked: bool = False,
    **settings: object,
) -> AsyncIterator[House]:
    """Start everything in a folder of its own, and end it whatever happened. ``clocked``: the first replica's clock can
    be set (``House.set_clock``)."""
    folder = Path(tempfile.mkdtemp(prefix="tocsin-faults-"))
    server = RedisServer(folder / "redis", fsync=fsync)
    replicas: list[Replica] = []
    given = {
        "data_dir": folder, "bundles_dir": material.bundles, "provider": "cpu", "spool_rows": 0, **settings,
    }  # fmt: skip
    try:
        async with contextlib.AsyncExitStack() as stack:
            await asyncio.to_thread(server.start)
            proxies = [await stack.enter_async_context(Proxy(server.socket)) for _ in NAMES if proxied]
            urls = [proxy.url for proxy in proxies] or [server.url for _ in NAMES]
            replicas += [
                Replica(name, folder, {**given, "redis_url": url}) for name, url in zip(NAMES, urls, strict=True)
            ]
            running = House(folder, server, replicas, proxies)
            if clocked:
                running.set_clock(0)
                replicas[0].extra = {
                    "LD_PRELOAD": str(faketime()), "FAKETIME_TIMESTAMP_FILE": str(running.clock),
                    "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                }  # fmt: skip
            for replica in replicas:
                replica.start()
            await asyncio.gather(*(asyncio.to_thread(replica.wait_ready) for replica in replicas))
            yield running
    finally:
        for replica in replicas:
            replica.stop()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def replay(house: House, material: Material, disturb: Disturb | None = None, *, later: bool = False) -> Run:
    """Replay the log and disturb it meanwhile; what it came to once the disturbance is over and all is acknowledged."""
    planned = material.rounds
    stage = Stage(len(planned))
    client = Client(house.urls, "run", material.connections, later=later)
    disturbing = asyncio.create_task(disturb(house, stage)) if disturb else None
    began = time.monotonic()
    try:
        for number, batches in enumerate(planned):
            if disturbing is not None and disturbing.done():
                disturbing.result()
            await stage.clear()
            await client.round(number, batches)
            stage.move(number + 1)
        seconds = time.monotonic() - began
        if disturbing is not None:
            await disturbing
        await client.verdicts()
        found = await _settled(house, material, client.sent)
    finally:
        if disturbing is not None and not disturbing.done():
            disturbing.cancel()
            await asyncio.gather(disturbing, return_exceptions=True)
        await client.close()
    times = [began, *sorted(answer.at for answer in client.sent.answers)]
    stalled = max(b - a for a, b in pairwise(times))
    healed = None
    if stage.healed_at:
        healed = max(next((t for t in times if t > at), at) - at for at in stage.healed_at)
    return Run(found, client.sent, seconds, stalled, healed)


async def _settled(house: House, material: Material, sent: Sent) -> Outcome:
    """Ends that a background sweep closed may still be on their way into the list: read until it moves no more."""
    url = house.urls()[0]
    before = await outcome.read(url, house.redis.url, material.source.name, sent.answers)
    deadline = time.monotonic() + SETTLED_WITHIN_S
    while time.monotonic() < deadline:
        await asyncio.sleep(1.5)
        after = await outcome.read(url, house.redis.url, material.source.name, sent.answers)
        if after == before and after.live == 0:
            return after
        before = after
    return before
