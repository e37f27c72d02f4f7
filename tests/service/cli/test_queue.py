"""`tocsin queue` against a running service with a dead entry."""

import json
from pathlib import Path

from click.testing import Result
from redis.asyncio import Redis
from typer.testing import CliRunner

from service.cli.app import app
from service.state import dead, leases, queue
from tests.golden import blocks
from tests.service.listening import beside, listening
from tests.service.queue.test_queue import accept, done
from tests.service.serving import Replica, blocks_bundle, running, stored, until

LINES = blocks.golden_log()


async def with_a_dead_entry(replica: Replica, redis: Redis) -> str:
    """The batch of an entry that is buried by hand, before anybody takes it."""
    async with replica.core.sources.live["blocks"].lock:
        accepted = await accept(replica, "blocks", LINES[:1])
        depths = await queue.depths(redis, "blocks")
        [p] = [p for p, depth in enumerate(depths) if depth.entries]
        consumer = (await redis.hget(f"tocsin:{{p{p:02d}}}:blocks:queue:state", "owner")) or b"nobody"
        fence = (await leases.take(redis, "blocks", [p], consumer.decode()))[p]
        [entry] = (await queue.take(redis, "blocks", fence, consumer.decode(), 100)).entries
        await dead.bury(redis, "blocks", fence, entry, "\x1b[31mno good", 1.0)
        await leases.leave(redis, "blocks", [p], consumer.decode())
    return str(accepted["batch"])


async def test_dead_entries_are_listed_retried_and_dropped(
    redis: Redis, redis_url: str, tmp_path: Path, run: CliRunner
) -> None:
    await redis.ping()
    bundles = stored(tmp_path / "bundles", blocks_bundle())
    async with running(redis_url, bundles) as replica, listening(replica) as url:

        async def said(*arguments: str) -> Result:
            return await beside(run.invoke, app, ["queue", *arguments, "--url", url], terminal_width=200)

        async def waiting() -> dict[str, int]:
            [told] = json.loads((await said("status", "--json", "--source", "blocks")).stdout)["sources"]
            return dict(told)

        assert (await said("dead", "list")).exit_code == 0
        assert (await said("status", "--source", "none")).exit_code == 1
        batch = await with_a_dead_entry(replica, redis)
        assert (await waiting())["dead"] == 1
        assert "blocks" in (await said("status")).stdout
        shown = (await said("dead", "list")).stdout
        assert "no good" in shown
        assert "\x1b" not in shown
        [one] = json.loads((await said("dead", "list", "--json")).stdout)["dead"]
        assert (one["batch"], one["lines"], one["first"]) == (batch, 1, LINES[0])
        assert (await said("dead", "retry")).stdout == "1 entries retried\n"
        assert (await done(replica, batch))["verdicts"]

        async def empty() -> bool:
            return (await waiting())["entries"] == 0

        await until(empty, "it was judged")
        await with_a_dead_entry(replica, redis)
        assert json.loads((await said("dead", "drop", "--source", "blocks", "--json")).stdout) == {"dropped": 1}
        assert (await waiting())["dead"] == 0
