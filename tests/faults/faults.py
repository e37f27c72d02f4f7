"""What goes wrong, one function a fault: each waits for its moment in the replay, does harm, and mends it.

Owns the harm and when it is over. What must be left unharmed is ``outcome``'s.
"""

import asyncio
import signal
from dataclasses import dataclass

from service.state import keys
from tests.faults.house import Disturb, House, Stage
from tests.faults.replica import PATIENCE_S, Replica

PAUSE_S = 10.0
LATENCY_S = 0.05
HOUR_S = 3_600


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to go wrong: ``says`` in a few words; the rest as the house takes it."""

    says: str
    disturb: Disturb
    proxied: bool = False
    fsync: str = "always"
    clocked: bool = False


async def replicas_killed(house: House, stage: Stage) -> None:
    """Each replica in turn, in the middle of a batch; started again at once."""
    for replica, share, after_s in zip(house.replicas, (0.2, 0.6), (0.02, 0.05), strict=True):
        await stage.at(share)
        await asyncio.sleep(after_s)
        replica.kill()
        replica.start()
        await asyncio.to_thread(replica.wait_ready)
        stage.healed()


async def redis_killed(house: House, stage: Stage) -> None:
    """Twice, in the middle of a batch; started again at once on its append-only file."""
    for share, after_s in ((0.3, 0.01), (0.7, 0.04)):
        await stage.at(share)
        await asyncio.sleep(after_s)
        house.redis.kill()
        await asyncio.to_thread(house.redis.start)
        stage.healed()


async def redis_paused(house: House, stage: Stage) -> None:
    """Longer than the service waits for a reply."""
    await stage.at(0.4)
    house.redis.pause()
    await asyncio.sleep(PAUSE_S)
    house.redis.resume()
    stage.healed()


async def disk_full(house: House, stage: Stage) -> None:
    """The append-only file may not grow. Where every write is synced Redis ends by it, rather than take what it cannot
    keep, and is started again until it comes up; otherwise it refuses writes."""
    await stage.at(0.4)
    house.redis.fill_disk()
    await asyncio.sleep(3.0)
    house.redis.free_disk()
    if not house.redis.running:
        await asyncio.to_thread(house.redis.start)
    stage.healed()


async def latency(house: House, stage: Stage) -> None:
    """Every reply takes a tenth of a second for the middle of the replay."""
    await stage.at(0.3)
    for proxy in house.proxies:
        proxy.latency_s = LATENCY_S
    await stage.at(0.5)
    for proxy in house.proxies:
        proxy.latency_s = 0.0
    stage.healed()


async def resets(house: House, stage: Stage) -> None:
    """Connections are broken off again and again, and replies cut in their middle."""
    for share, after_s in ((0.1, 0.0), (0.3, 0.01), (0.5, 0.02), (0.7, 0.03)):
        await stage.at(share)
        await asyncio.sleep(after_s)
        for proxy in house.proxies:
            proxy.reset()
    for share in (0.75, 0.85):
        await stage.at(share)
        for proxy in house.proxies:
            proxy.cut_replies(2)
    stage.healed()


async def partition(house: House, stage: Stage) -> None:
    """One replica is cut off in the middle of a batch; what it sent arrives after the other one took over."""
    await stage.at(0.4)
    await asyncio.sleep(0.02)
    house.proxies[0].blackhole()
    await asyncio.sleep(PAUSE_S + 3.0)
    house.proxies[0].heal()
    stage.healed()


async def replica_paused(house: House, stage: Stage) -> None:
    """One replica stands still in the middle of a batch for longer than its claim on it holds; the other takes over,
    and then the first goes on where it was."""
    await stage.at(0.4)
    await asyncio.sleep(0.02)
    one = house.replicas[0]
    one.signal(signal.SIGSTOP)
    await asyncio.sleep(keys.IN_FLIGHT_TTL_S + 5.0)
    one.signal(signal.SIGCONT)
    stage.healed()


async def terminated(house: House, stage: Stage) -> None:
    """Each replica in turn is told to stop while batches are under way: it answers them and ends with 0."""
    for replica, share in zip(house.replicas, (0.3, 0.6), strict=True):
        await stage.at(share)
        await asyncio.sleep(0.02)
        replica.signal(signal.SIGTERM)
        status = await _ended(replica)
        assert status == 0, f"SIGTERM ended with {status}: {replica.log()[-1000:]}"
        replica.start()
        await asyncio.to_thread(replica.wait_ready)
        stage.healed()


async def clock_jumps(house: House, stage: Stage) -> None:
    """One replica's clock is an hour ahead for a while, then an hour behind, then right, and each time little comes in
    until its background work has seen it."""
    for share, offset_s in ((0.2, HOUR_S), (0.5, -HOUR_S), (0.8, 0)):
        await stage.at(share)
        async with stage.lull():
            house.set_clock(offset_s)
            await asyncio.sleep(3.0)
    stage.healed()


async def _ended(replica: Replica) -> int:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while replica.status is None:
        assert loop.time() < deadline, f"{replica.name} did not end"
        await asyncio.sleep(0.02)
    return replica.status


FAULTS: dict[str, Fault] = {
    "replicas_killed": Fault("kill -9 of each replica in turn", replicas_killed),
    "redis_killed": Fault("kill -9 of Redis, twice", redis_killed),
    "redis_paused": Fault("Redis stands still for 10 s", redis_paused),
    "disk_full": Fault("no room for Redis' append-only file, every write synced", disk_full),
    "disk_full_everysec": Fault("the same, synced every second", disk_full, fsync="everysec"),
    "latency": Fault("50 ms each way between service and Redis", latency, proxied=True),
    "resets": Fault("connections to Redis reset, replies cut", resets, proxied=True),
    "partition": Fault("one replica cut off from Redis for 13 s, then all it sent arrives", partition, proxied=True),
    "replica_paused": Fault("a replica stands still beyond its claim on a batch", replica_paused),
    "terminated": Fault("SIGTERM of each replica in turn", terminated),
    "clock_jumps": Fault("a replica's clock an hour ahead, then behind", clock_jumps, clocked=True),
}
