"""A real Redis Cluster, three masters and a replica: slots move, a master is replaced or dies in mid-log."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from models.errors import ConfigError, StateError
from service.state import cluster, keys
from service.state.connection import claim_schema, open_client, pipelined
from tests.golden import blocks
from tests.service.clusters import Nodes, started
from tests.service.serving import PROCESS_PATIENCE_S, Replica, blocks_bundle, running, stored, until
from tests.service.state.test_slots import free_port

SIZE = 20


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    async with started(tmp_path) as found:
        yield found


def bodies() -> list[dict[str, Any]]:
    lines = blocks.golden_log()[:600]
    return [{"source": "blocks", "lines": lines[at : at + SIZE]} for at in range(0, len(lines), SIZE)]


async def send(replica: Replica, requests: Sequence[dict[str, Any]], first: int) -> list[list[Any]]:
    """Verdicts of the lines of requests, each sent again until it is answered."""
    found = []
    for number, body in enumerate(requests, first):
        async with asyncio.timeout(PROCESS_PATIENCE_S):
            while True:
                response = await replica.http.post("/ingest", json=body, headers={"Idempotency-Key": f"n{number}"})
                if response.status_code in (200, 422):
                    break
                assert response.status_code in (409, 503), response.text
                await asyncio.sleep(0.1)
        verdicts = [verdict for verdict in response.json()["verdicts"] if verdict["index"] is not None]
        found.append([(v["index"], v["session"], v["template"], v["anomalous"], v["score"]) for v in verdicts])
    return found


async def same_ends(one: Replica, other: Replica) -> None:
    """Wait until both have closed the same sessions, each once and with the same verdict: by a request, or between two,
    whichever came first."""

    async def same() -> bool:
        found = [
            sorted((end["session"], end["anomalous"], end["score"]) for end in await replica.ends("blocks"))
            for replica in (one, other)
        ]
        return bool(found[0]) and found[0] == found[1]

    await until(same, "both have closed the same sessions")


async def test_verdicts_are_the_same_while_slots_move_and_a_master_is_replaced(
    nodes: Nodes, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    await redis.ping()
    requests = bodies()
    third = len(requests) // 3
    async with (
        running(redis_url, stored(tmp_path / "plain" / "bundles", blocks_bundle())) as quiet,
        running(nodes.url, stored(tmp_path / "spread" / "bundles", blocks_bundle())) as replica,
    ):
        expected = await send(quiet, requests, 0)
        assert (await replica.get("/readyz"))["ready"]
        found = await send(replica, requests[:third], 0)
        rest = asyncio.create_task(send(replica, requests[third : 2 * third], third))
        for name in (keys.live(0, "blocks"), keys.live(5, "blocks"), keys.clock("blocks")):
            slot = key_slot(name.encode())
            await nodes.move(slot, (await nodes.owner(slot) + 1) % 3)
        found += await rest
        rest = asyncio.create_task(send(replica, requests[2 * third :], 2 * third))
        await nodes.take_over(3)
        found += await rest
        assert found == expected
        await same_ends(replica, quiet)
        masters = nodes.clients[1:]
        assert all([await client.dbsize() for client in masters])
        assert (await replica.metrics())["tocsin_redis_memory_bytes"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_verdicts_are_the_same_when_a_master_dies_or_falls_silent(
    nodes: Nodes, redis: Redis, redis_url: str, tmp_path: Path, how: signal.Signals
) -> None:
    """It has a third of the sessions and the source's own keys; its replica has all that it acknowledged, and leads."""
    await redis.ping()
    assert await nodes.owner(key_slot(keys.clock("blocks").encode())) == 0
    requests = bodies()
    third = len(requests) // 3
    async with (
        running(redis_url, stored(tmp_path / "plain" / "bundles", blocks_bundle())) as quiet,
        running(nodes.url, stored(tmp_path / "spread" / "bundles", blocks_bundle())) as replica,
    ):
        expected = await send(quiet, requests, 0)
        found = await send(replica, requests[:third], 0)
        rest = asyncio.create_task(send(replica, requests[third:], third))
        await nodes.caught_up(0, 3)
        await nodes.replaced(0, 3, how)
        found += await rest
        for number, (given, wanted) in enumerate(zip(found, expected, strict=True)):
            assert given == wanted, f"request {number}"
        await same_ends(replica, quiet)


async def test_commands_of_one_round_trip_reach_their_nodes_and_a_refusal_costs_only_itself(nodes: Nodes) -> None:
    redis = open_client(nodes.url)
    await claim_schema(redis)
    names = [keys.live(partition, "s") for partition in range(keys.PARTITIONS)]
    await pipelined(redis, [["HSET", name, "a", number] for number, name in enumerate(names)])
    assert await pipelined(redis, [["HGET", name, "a"] for name in names]) == [b"%d" % n for n in range(len(names))]
    with pytest.raises(StateError, match="WRONGTYPE"):
        await pipelined(redis, [["HGET", names[0], "a"], ["GET", names[1]]])
    await redis.aclose()


async def test_who_only_ever_pipelines_finds_the_replica_that_leads(nodes: Nodes) -> None:
    redis = open_client(nodes.url)
    names = [keys.live(partition, "s") for partition in range(keys.PARTITIONS)]
    calls = [["HSET", name, "a", number] for number, name in enumerate(names)]
    try:
        await pipelined(redis, calls)
        await nodes.replaced(0, 3)
        with pytest.raises(StateError):
            await pipelined(redis, calls)

        async def written() -> bool:
            try:
                await pipelined(redis, calls)
            except StateError:
                return False
            return True

        await until(written, "its commands reach the replica that leads")
    finally:
        await redis.aclose()


async def test_a_cluster_that_is_away_is_an_error_and_not_a_wait() -> None:
    redis = open_client(f"redis+cluster://127.0.0.1:{free_port()}")
    with pytest.raises(StateError, match="Redis"):
        await pipelined(redis, [["PING"]])
    await redis.aclose()


@pytest.mark.parametrize(
    "url", ["redis+cluster://", "redis+cluster://:1", "redis+cluster://a:b", "redis+cluster://a:1,"]
)
def test_an_address_without_nodes_says_how_to_write_one(url: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        cluster.open_cluster(url, 1.0)
