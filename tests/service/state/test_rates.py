"""Buckets of rates in Redis: counted once a batch, beside timeframes, and what goes on kept with them."""

import numpy as np
from redis.asyncio import Redis

from models.autolog.frames import Frame, Group, Tally
from models.rate.counting import EVERYTHING, tally
from models.rate.judge import Episodes
from service.state import keys
from service.state.frames import StoredFrames
from service.state.rates import StoredRates


async def closed(stored: StoredRates, watermark: float, after: Episodes) -> list[Frame]:
    found = await stored.next_round("s", 300.0, watermark)
    if found is None:
        return []
    frames = await stored.close("s", 300.0, found)
    await stored.finish("s", 300.0, found, frames, after)
    return frames


async def test_batch_is_counted_once_and_its_buckets_are_closed_once(redis: Redis) -> None:
    stored = StoredRates(redis)
    counted = tally(np.arange(0.0, 700.0), np.arange(700) % 2 * 5, 300.0, -np.inf, 60.0)
    for _ in range(2):
        await stored.count("s", 300.0, counted, "batch")
    assert await stored.due("s", 300.0, 640.0)
    assert await stored.take_lease("s", "me")
    assert not await stored.take_lease("s", "you")
    frames = await closed(stored, 640.0, Episodes(2))
    assert frames == [Frame(at, 300, {EVERYTHING: {"0": 150, "5": 150}}) for at in (0, 1)]
    assert await closed(stored, 640.0, Episodes()) == []
    assert await stored.episodes("s") == Episodes(2)
    # What comes behind that is late, and reopens nothing.
    await stored.count("s", 300.0, counted, "again")
    assert [frame.lines for frame in await closed(stored, 960.0, Episodes(3))] == [200]


async def test_timeframes_of_the_same_length_are_others(redis: Redis) -> None:
    stored, frames = StoredRates(redis), StoredFrames(redis)
    await stored.count("s", 300.0, Tally([Group(0, EVERYTHING, 3, ["1"], [3])], 0))
    assert not await frames.due("s", 300.0, 1e6)
    await frames.count("s", 300.0, Tally([Group(0, "e", 1, ["up"], [1])], 0))
    assert await closed(stored, 400.0, Episodes(1)) == [Frame(0, 3, {EVERYTHING: {"1": 3}})]
    assert await frames.due("s", 300.0, 400.0)


async def test_episodes_come_back_and_a_reset_forgets(redis: Redis) -> None:
    stored = StoredRates(redis)
    assert await stored.episodes("s") == Episodes()
    await stored.count("s", 300.0, Tally([Group(7, EVERYTHING, 3, ["1"], [3])], 0))
    going = Episodes(8, {"quiet of the source": (5, 7), "burst of template 1": (2, 6)})
    await closed(stored, 2_400.0, going)
    assert await stored.episodes("s") == going
    assert await redis.ttl(keys.rate_episodes("s")) > 86_400
    await stored.reset("s", 300.0)
    assert await stored.episodes("s") == Episodes()
    # Older times may come again.
    await stored.count("s", 300.0, Tally([Group(1, EVERYTHING, 2, ["1"], [2])], 0))
    assert [frame.chunk for frame in await closed(stored, 700.0, Episodes(2))] == [1]
