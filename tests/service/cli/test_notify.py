"""`tocsin notify` against a running service and a real HTTP peer."""

import json
from pathlib import Path

import orjson
from click.testing import Result
from redis.asyncio import Redis
from typer.testing import CliRunner

from service.cli.app import app
from tests.service.listening import beside, listening
from tests.service.notify.conftest import Answer, HttpPeer
from tests.service.notify.conftest import peer as peer
from tests.service.serving import blocks_bundle, running, stored, until

PATIENCE_S = 60.0
LINE = "240501 235959 12 INFO store.Node: unheard of blk_7001"


async def test_notices_are_tried_listed_raised_and_dropped(
    redis: Redis, redis_url: str, tmp_path: Path, run: CliRunner, peer: HttpPeer
) -> None:
    await redis.ping()
    path = tmp_path / "notify.yaml"
    hook = {"name": "hook", "kind": "webhook", "url": peer.url, "timeout_s": 60}
    path.write_bytes(orjson.dumps({"notifiers": [hook]}))
    bundles = stored(tmp_path / "bundles", blocks_bundle())
    async with running(redis_url, bundles, notify=path) as replica, listening(replica) as url:

        async def said(*arguments: str) -> Result:
            return await beside(run.invoke, app, ["notify", *arguments, "--url", url], terminal_width=200)

        listed = await said("list")
        assert listed.exit_code == 0
        assert peer.url in listed.stdout.replace("\n", "")
        assert (await said("test", "hook")).stdout == "hook: the notice was taken\n"
        assert json.loads((await said("test", "hook", "--json")).stdout) == {"sent": True}
        assert (await said("dead")).exit_code == 0
        peer.otherwise = Answer(410, body=b"\x1b[31mgone")
        refused = await said("test", "hook")
        assert refused.exit_code == 1
        assert "status 410" in str(refused.exception)
        assert (await said("test", "nobody")).exit_code == 1
        await replica.ingest("blocks", [LINE])

        async def dead() -> int:
            return len(json.loads((await said("dead", "--json")).stdout)["dead"])

        async def one() -> bool:
            return await dead() == 1

        await until(one, "the notice is dead", PATIENCE_S)
        shown = await said("dead", "--notifier", "hook")
        assert "410" in shown.stdout
        assert "\x1b" not in shown.stdout
        sent = len(peer.requests)
        assert (await said("dead", "--retry")).stdout == "1 notices retried\n"
        await until(lambda: len(peer.requests) > sent, "it was tried again", PATIENCE_S)
        await until(one, "it is dead again", PATIENCE_S)
        assert json.loads((await said("dead", "--drop", "--json")).stdout) == {"dropped": 1}
        assert await dead() == 0
        assert (await said("dead", "--drop", "--retry")).exit_code == 2
