"""A real Redis Cluster, three masters and a replica: slots move and a master is replaced in the middle of a log."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from models.errors import ConfigError, StateError
from service.state import cluster, keys
from service.state.connection import claim_schema, open_client, pipelined
from service.state.embedded import EmbeddedRedis, bundled_server
from tests.golden import blocks
from tests.service.serving import Replica, blocks_bundle, running, stored, until
from tests.service.state.test_slots import free_port

SLOTS = 16_384
SIZE = 20


@dataclass
class Nodes:
    """Clients of three masters and of the first one's replica, in this order, and their ports."""

    clients: list[Redis]
    ports: list[int]

    @property
    def url(self) -> str:
        """The cluster as Tocsin is told of it."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in self.ports[:2])

    async def id_of(self, number: int) -> str:
        """The id that a node has in the cluster."""
        return str((await self.clients[number].execute_command("CLUSTER MYID")).decode())

    async def owner(self, slot: int) -> int:
        """Which master has a slot."""
        for begin, end, (_, port, *_), *_ in await self.clients[0].execute_command("CLUSTER", "SLOTS"):
            if begin <= slot <= end:
                return self.ports.index(port)
        raise AssertionError(f"nobody has slot {slot}")

    async def move(self, slot: int, to: int) -> None:
        """Move a slot and all its keys to another master, key by key, as resharding does."""
        home = await self.owner(slot)
        target, source = self.clients[to], self.clients[home]
        await target.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", await self.id_of(home))
        await source.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", await self.id_of(to))
        while names := await source.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1):
            await source.execute_command("MIGRATE", "127.0.0.1", self.ports[to], names[0], 0, 10_000)
            await asyncio.sleep(0.02)  # lines come in meanwhile
        for number in (to, home):
            await self.clients[number].execute_command("CLUSTER", "SETSLOT", slot, "NODE", await self.id_of(to))


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    server = shutil.which("redis-server") or bundled_server()
    async with AsyncExitStack() as stack:
        clients, ports = [], []
        for number in range(4):
            port = free_port()
            options = ["--port", str(port), "--bind", "127.0.0.1", "--cluster-enabled", "yes", "--appendonly", "no",
                       "--cluster-node-timeout", "30000"]  # fmt: skip
            folder = tmp_path / f"node{number}"
            folder.mkdir()
            own = stack.enter_context(EmbeddedRedis(folder, server=server, options=options))
            clients.append(open_client(own.url))
            stack.push_async_callback(clients[-1].aclose)
            ports.append(port)
        found = Nodes(clients, ports)
        for number, client in enumerate(clients[:3]):
            own_slots = range(number * SLOTS // 3, (number + 1) * SLOTS // 3)
            await client.execute_command("CLUSTER", "ADDSLOTS", *own_slots)
            await client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for port in ports[1:]:
            await clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port)

        async def met() -> bool:
            told = [await client.execute_command("CLUSTER INFO") for client in clients]
            return all(info["cluster_state"] == "ok" and info["cluster_known_nodes"] == "4" for info in told)

        await until(met, "the nodes know each other")
        await clients[3].execute_command("CLUSTER", "REPLICATE", await found.id_of(0))

        async def follows() -> bool:
            return (await clients[3].info("replication"))["master_link_status"] == "up"

        await until(follows, "the replica follows its master")
        yield found


def bodies() -> list[dict[str, Any]]:
    lines = blocks.golden_log()[:600]
    return [{"source": "blocks", "lines": lines[at : at + SIZE]} for at in range(0, len(lines), SIZE)]


async def send(replica: Replica, requests: Sequence[dict[str, Any]], first: int) -> list[list[Any]]:
    """Verdicts of the requests, each sent again until it is answered."""
    found = []
    for number, body in enumerate(requests, first):
        while True:
            response = await replica.http.post("/ingest", json=body, headers={"Idempotency-Key": f"n{number}"})
            if response.status_code in (200, 422):
                break
            assert response.status_code in (409, 503), response.text
            await asyncio.sleep(0.1)
        verdicts = response.json()["verdicts"]
        found.append([(v["index"], v["session"], v["template"], v["anomalous"], v["score"]) for v in verdicts])
    return found


async def test_verdicts_are_the_same_while_slots_move_and_a_master_is_replaced(
    nodes: Nodes, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    await redis.ping()
    requests = bodies()
    async with running(redis_url, stored(tmp_path / "plain" / "bundles", blocks_bundle())) as replica:
        expected = await send(replica, requests, 0)
    third = len(requests) // 3
    async with running(nodes.url, stored(tmp_path / "spread" / "bundles", blocks_bundle())) as replica:
        assert (await replica.get("/readyz"))["ready"]
        found = await send(replica, requests[:third], 0)
        rest = asyncio.create_task(send(replica, requests[third : 2 * third], third))
        for name in (keys.live(0, "blocks"), keys.live(5, "blocks"), keys.clock("blocks")):
            slot = key_slot(name.encode())
            await nodes.move(slot, (await nodes.owner(slot) + 1) % 3)
        found += await rest
        rest = asyncio.create_task(send(replica, requests[2 * third :], 2 * third))
        await nodes.clients[3].execute_command("CLUSTER", "FAILOVER")

        async def leads() -> bool:
            return (await nodes.clients[3].info("replication"))["role"] == "master"

        await until(leads, "the replica leads")
        found += await rest
        assert found == expected
        masters = nodes.clients[1:]
        assert all([await client.dbsize() for client in masters])
        assert (await replica.metrics())["tocsin_redis_memory_bytes"] > 0


async def test_commands_of_one_round_trip_reach_their_nodes_and_a_refusal_costs_only_itself(nodes: Nodes) -> None:
    redis = open_client(nodes.url)
    await claim_schema(redis)
    names = [keys.live(partition, "s") for partition in range(keys.PARTITIONS)]
    await pipelined(redis, [["HSET", name, "a", number] for number, name in enumerate(names)])
    assert await pipelined(redis, [["HGET", name, "a"] for name in names]) == [b"%d" % n for n in range(len(names))]
    with pytest.raises(StateError, match="WRONGTYPE"):
        await pipelined(redis, [["HGET", names[0], "a"], ["GET", names[1]]])
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
