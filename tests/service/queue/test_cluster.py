"""The durable queue over a real Redis Cluster."""

from pathlib import Path

from tests.golden import blocks
from tests.service.queue.test_queue import accept, done
from tests.service.serving import blocks_bundle, running, stored
from tests.service.state.test_cluster import Nodes
from tests.service.state.test_cluster import nodes as nodes

LINES = blocks.golden_log()


async def test_queue_over_three_masters_is_judged(nodes: Nodes, tmp_path: Path) -> None:
    async with running(nodes.url, stored(tmp_path / "bundles", blocks_bundle())) as replica:
        for at in (0, 100, 200):
            accepted = await accept(replica, "blocks", LINES[at : at + 100])
            found = await done(replica, accepted["batch"])
            told = {v["index"] for v in found["verdicts"]} | {line["index"] for line in accepted["rejected"]}
            assert told - {None} == set(range(100))
            assert found["failed"] == []
        assert (await replica.get("/queue", source="blocks"))["sources"][0]["entries"] == 0
        assert "no append-only file" in (await replica.get("/readyz"))["problems"]["wait=false"]
