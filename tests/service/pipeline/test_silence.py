"""Silence goes by a steady clock: wall clocks of replicas may jump, and differ."""

from dataclasses import dataclass

from redis.asyncio import Redis

from service.pipeline.silence import Hearing
from service.state import watermark
from service.state.watermark import Beginning

HOUR_S = 3_600.0
LATENESS_S = 60.0


@dataclass
class Replica:
    """One process's clocks and what it hears. Each second it looks."""

    redis: Redis
    wall: float
    steady: float = 5.0

    def __post_init__(self) -> None:
        self.hearing = Hearing(self.redis, "s", lambda: self.steady)

    async def silent(self, seconds: float) -> float:
        """How long nothing came in by its own account, after so many more seconds."""
        for _ in range(int(seconds)):
            self.wall, self.steady = self.wall + 1.0, self.steady + 1.0
            await self.hearing.heard(self.wall)
        return self.wall - (await self.hearing.heard(self.wall)).last_input

    async def ingest(self) -> None:
        await watermark.begin(self.redis, "s", Beginning(1_000.0, self.wall))


async def test_a_clock_that_jumps_makes_no_silence(redis: Redis) -> None:
    one, other = Replica(redis, 10_000.0), Replica(redis, 10_000.0, steady=77.0)
    await one.ingest()
    assert (await one.silent(3), await other.silent(3)) == (3.0, 3.0)
    one.wall += HOUR_S
    assert (await one.silent(2), await other.silent(2)) == (5.0, 5.0)
    await one.ingest()
    assert max(await one.silent(1), await other.silent(1)) <= 1.0
    one.wall -= 2 * HOUR_S
    # Its time of arrival is behind what the others wrote: it came in all the same.
    await one.ingest()
    assert max(await one.silent(1), await other.silent(1)) <= 1.0
    assert min(await one.silent(80), await other.silent(80)) >= 80.0 > LATENESS_S


async def test_a_process_that_starts_takes_the_silence_before_it_from_the_wall_clock(redis: Redis) -> None:
    one = Replica(redis, 10_000.0)
    await one.ingest()
    later = Replica(redis, 10_500.0, steady=0.0)
    assert await later.silent(2) == 502.0
    assert await Replica(redis, 9_000.0).silent(2) == 1.0


async def test_nothing_was_heard_of_a_source_that_nothing_came_into(redis: Redis) -> None:
    assert (await Hearing(redis, "s", lambda: 1.0).heard(5.0)).last_input == float("-inf")
