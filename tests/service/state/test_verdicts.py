"""Verdicts of ends are appended once and read in order, from an entry or from a time."""

from redis.asyncio import Redis

from service.state import keys, verdicts


def numbered(*numbers: int) -> list[bytes]:
    return [b'{"n": %d}' % n for n in numbers]


async def numbers(redis: Redis, after: str = verdicts.BEGINNING) -> list[int]:
    return [stored.verdict["n"] for stored in await verdicts.read(redis, "s", after)]


async def test_read_goes_on_where_the_last_one_ended(redis: Redis) -> None:
    await verdicts.append(redis, "s", numbered(1, 2, 3), now=5.0)
    page = await verdicts.read(redis, "s", limit=2)
    assert [stored.verdict for stored in page] == [{"n": 1}, {"n": 2}]
    last = await verdicts.append(redis, "s", numbered(4), now=5.0)
    assert await numbers(redis, page[-1].id) == [3, 4]
    assert last is not None
    assert await numbers(redis, last) == []
    assert await verdicts.read(redis, "unknown") == []


async def test_time_serves_as_a_place_to_read_from(redis: Redis) -> None:
    for second in (1, 2, 3):
        await verdicts.append(redis, "s", numbered(second, 10 * second), now=float(second))
    assert await numbers(redis, verdicts.after_time(2.0)) == [2, 20, 3, 30]
    assert await numbers(redis, verdicts.after_time(2.001)) == [3, 30]
    assert await numbers(redis, verdicts.after_time(0.0)) == [1, 10, 2, 20, 3, 30]


async def test_clock_that_goes_back_keeps_the_order_of_appending(redis: Redis) -> None:
    await verdicts.append(redis, "s", numbered(1), now=1_700_000_000.0)
    await verdicts.append(redis, "s", numbered(2), now=1_600_000_000.0)
    assert await numbers(redis) == [1, 2]


async def test_retried_part_of_a_batch_appends_once(redis: Redis) -> None:
    first = await verdicts.append(redis, "s", numbered(1, 2), 1.0, "batch", "ends")
    assert await verdicts.append(redis, "s", numbered(1, 2), 2.0, "batch", "ends") == first
    await verdicts.append(redis, "s", numbered(3), 2.0, "batch", "sweep")
    assert await verdicts.append(redis, "s", [], 2.0, "batch", "empty") is None
    assert await numbers(redis) == [1, 2, 3]


async def test_stream_is_capped_and_has_a_lifetime(redis: Redis) -> None:
    for start in range(0, keys.VERDICTS_KEPT + 3000, 10_300):
        await verdicts.append(redis, "s", numbered(*range(start, start + 10_300)), now=1.0)
    assert keys.VERDICTS_KEPT <= await redis.xlen(keys.verdicts("s")) < keys.VERDICTS_KEPT + 1000
    assert 0 < await redis.ttl(keys.verdicts("s")) <= keys.VERDICTS_TTL_S
