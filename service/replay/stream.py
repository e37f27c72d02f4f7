"""A replay: batches out at a given pace, answers in, the ends of sessions collected.

Owns pace, order and when it is over. Figures are ``report``'s.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from time import perf_counter

from service.replay.batches import Batch
from service.replay.client import ServiceClient, Sleep
from service.replay.tally import Tally
from training.corpus import Progress

COLLECT_AFTER = 20_000
"""Ended sessions after which their verdicts are fetched: the service keeps the newest 100,000 of a source."""
AHEAD = 64
"""Batches that may wait to be judged where nobody waits for each: what became of them is kept for a while only."""
SETTLE_EVERY_S = 0.5
SETTLE_SPARE_S = 15.0
"""Beyond the silence that closes a session: sweeps come every second, clocks differ."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay came to. ``seconds`` run from the first request to the last answer; ``live`` counts the source's
    sessions that are open still."""

    tally: Tally
    seconds: float
    live: int


async def stream(
    client: ServiceClient,
    source: str,
    rounds: Iterable[list[Batch]],
    line_count: int,
    *,
    rate: float | None = None,
    settle: bool = False,
    progress: Progress,
    sleep: Sleep = asyncio.sleep,
) -> Replayed:
    """Send ``rounds`` in order, at most ``rate`` lines a second (None: as fast as they are answered).

    What the service accepts for later is asked for while more is sent, ``AHEAD`` batches behind at most. ``settle``
    waits until the service has closed all sessions of the source. Raises ReplayError.
    """
    tally = Tally()
    place = await client.newest_end(source)
    collected = sent = 0
    later: deque[tuple[str, Batch]] = deque()

    async def collect(left: int) -> None:
        while len(later) > left:
            name, batch = later.popleft()
            tally.add_answer(await client.judged(name), batch.items, batch.lines)

    began = perf_counter()
    for batches in rounds:
        if rate is not None:
            await sleep(max(0.0, began + sent / rate - perf_counter()))
        replies = await asyncio.gather(*(client.ingest(batch.body) for batch in batches))
        for batch, reply in zip(batches, replies, strict=True):
            if reply.body.get("batch"):
                later.append((reply.body["batch"], batch))
            else:
                tally.add_answer({"verdicts": [], **reply.body}, batch.items, batch.lines)
            tally.latencies_s.append(reply.latency_s)
            tally.retries += reply.retries
            sent += batch.lines
        await collect(AHEAD)
        progress(sent, line_count)
        if tally.ends_in_answers - collected >= COLLECT_AFTER:
            collected = tally.ends_in_answers
            found, place = await client.ends(source, place)
            tally.add_ends(found)
    if later:
        await collect(0)
        version = (await client.source(source))["version"]
        tally.versions |= {str(version)} if version is not None else set()
    seconds = perf_counter() - began
    live = await _settled(client, source, sleep) if settle else await _live(client, source)
    found, _ = await client.ends(source, place)
    tally.add_ends(found)
    return Replayed(tally, seconds, live)


async def _live(client: ServiceClient, source: str) -> int:
    return int((await client.source(source))["sessions"])


async def _settled(client: ServiceClient, source: str, sleep: Sleep) -> int:
    """Live sessions once there are none, or once all have had the time to close."""
    entry = await client.source(source)
    longest = float(entry["idle_s"]) + 2 * float(entry["config"]["lateness_s"]) + SETTLE_SPARE_S
    deadline = perf_counter() + longest
    while entry["sessions"] and perf_counter() < deadline:
        await sleep(SETTLE_EVERY_S)
        entry = await client.source(source)
    return int(entry["sessions"])
