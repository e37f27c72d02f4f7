"""What ``wait=false`` accepts is with a replica before its 202: a master that dies with it loses none of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from models.errors import StateError
from service.state import keys, replicas
from service.state.connection import open_client
from tests.golden import blocks
from tests.service import clusters
from tests.service.clusters import Nodes
from tests.service.serving import PROCESS_PATIENCE_S, Replica, blocks_bundle, running, stored, until

SIZE = 20
DEAD = 0
"""The master that has the source's own keys."""
HEIR = clusters.MASTERS


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    async with clusters.started(tmp_path, range(clusters.MASTERS)) as found:
        yield found


async def accepted(replica: Replica, number: int, lines: list[str]) -> str:
    """The name of a batch, sent again until it is accepted."""
    named: list[str] = []

    async def taken() -> bool:
        response = await replica.http.post(
            "/ingest",
            params={"wait": "false"},
            json={"source": "blocks", "lines": lines},
            headers={"Idempotency-Key": f"n{number}"},
        )
        assert response.status_code in (202, 409, 503), response.text
        if response.status_code == 202:
            named.append(str(response.json()["batch"]))
        return bool(named)

    await until(taken, f"batch {number} is accepted", PROCESS_PATIENCE_S)
    return named[0]


async def judged(replica: Replica, batch: str) -> list[int]:
    """The lines of an accepted batch that have verdicts, or a reason why not, once it is done."""
    told = {}

    async def done() -> bool:
        response = await replica.http.get("/verdicts", params={"batch": batch})
        if response.status_code != 200:
            assert response.status_code == 503, response.text
            return False
        told.update(response.json())
        return bool(told["state"] == "done")

    await until(done, f"batch {batch} is judged", PROCESS_PATIENCE_S)
    assert not told["failed"]
    return sorted({one["index"] for one in [*told["verdicts"], *told["rejected"]]} - {None})


@pytest.mark.slow
async def test_nothing_accepted_is_lost_with_the_master_that_had_it(nodes: Nodes, tmp_path: Path) -> None:
    """It is killed while lines come in and are judged, whatever its replica has got."""
    assert await nodes.owner(key_slot(keys.clock("blocks").encode())) == DEAD
    lines = blocks.golden_log()[:600]
    parts = [lines[at : at + SIZE] for at in range(0, len(lines), SIZE)]
    async with running(nodes.url, stored(tmp_path / "bundles", blocks_bundle()), durable_replicas=1) as replica:
        names = [await accepted(replica, number, part) for number, part in enumerate(parts[:10])]
        rest = asyncio.create_task(_all_accepted(replica, parts[10:], 10))
        await nodes.replaced(DEAD, HEIR)
        await nodes.back(DEAD)  # the heir needs a replica too
        names += await rest
        for name, part in zip(names, parts, strict=True):
            assert await judged(replica, name) == list(range(len(part)))


async def _all_accepted(replica: Replica, parts: list[list[str]], first: int) -> list[str]:
    return [await accepted(replica, number, part) for number, part in enumerate(parts, first)]


async def test_without_the_replica_nothing_is_accepted_and_a_retry_adds_nothing_twice(
    nodes: Nodes, tmp_path: Path
) -> None:
    lines = blocks.golden_log()[:SIZE]
    body = {"source": "blocks", "lines": lines}
    async with running(nodes.url, stored(tmp_path / "bundles", blocks_bundle()), durable_replicas=2) as replica:
        refused = await replica.http.post(
            "/ingest", params={"wait": "false"}, json=body, headers={"Idempotency-Key": "n0"}
        )
        assert refused.status_code == 503
        assert "TOCSIN_DURABLE_REPLICAS" in refused.json()["error"]
    async with running(nodes.url, tmp_path / "bundles", durable_replicas=1) as replica:
        assert await judged(replica, await accepted(replica, 0, lines)) == list(range(SIZE))
        told = await replica.metrics()
        assert told['tocsin_lines_total{source="blocks"}'] == SIZE


async def test_a_single_redis_without_replicas_says_so(redis: Redis) -> None:
    await replicas.confirm(redis, "blocks", (0, 1), 0)
    with pytest.raises(StateError, match="0 of the 1 replicas"):
        await replicas.confirm(redis, "blocks", (0, 1), 1)


async def test_each_master_concerned_is_waited_for(nodes: Nodes) -> None:
    """The replica of one of them goes."""
    redis = open_client(nodes.url)
    try:
        await replicas.confirm(redis, "blocks", range(keys.PARTITIONS), 1)
        await nodes.clients[HEIR].execute_command("CLUSTER", "REPLICATE", await nodes.id_of(1))

        async def gone() -> bool:
            return int((await nodes.clients[DEAD].info("replication"))["connected_slaves"]) == 0

        await until(gone, "the replica has gone to another master")
        with pytest.raises(StateError, match="0 of the 1 replicas"):
            await replicas.confirm(redis, "blocks", range(keys.PARTITIONS), 1)
    finally:
        await redis.aclose()
