"""Redis away, bundles that must be refused, SIGTERM under load: nothing is invented, nothing accepted is lost."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from redis.asyncio import Redis

from models.bundle import MANIFEST, TEMPLATES
from service.state import connection, keys, windows
from service.state.embedded import EmbeddedRedis
from tests.golden import blocks
from tests.service.serving import (
    NOW,
    PATIENCE_S,
    Child,
    Link,
    Replica,
    blocks_bundle,
    later_shop_lines,
    running,
    shop_bundle,
    stored,
    until,
)
from training.stream import Stream

LINES = blocks.golden_log()
ALWAYS = ["--appendfsync", "always"]
"""So that a killed server has everything that it acknowledged."""


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A server of the test's own, not started."""
    embedded = EmbeddedRedis(tmp_path / "state", options=ALWAYS)
    yield embedded
    embedded.stop()


async def in_thread(work: Any) -> None:
    await asyncio.get_running_loop().run_in_executor(None, work)


async def ready(replica: Replica) -> bool:
    return (await replica.http.get("/readyz")).status_code == 200


async def test_redis_away_at_start_is_said_and_heals(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    async with running(own_redis.url, stored(tmp_path / "bundles", blocks_bundle())) as replica:
        waiting = await replica.http.get("/readyz")
        assert waiting.status_code == 503
        assert "Redis is away" in waiting.json()["reasons"][0]
        assert (await replica.http.get("/healthz")).status_code == 200
        assert (await replica.metrics())["tocsin_redis_up"] == 0
        for method, path in [
            ("POST", "/ingest"), ("GET", "/incidents"), ("GET", "/sources"), ("GET", "/models"), ("GET", "/feedback"),
            ("GET", "/verdicts?source=blocks"), ("GET", "/incidents/0123456789abcdef"),
        ]:  # fmt: skip
            response = await replica.http.request(method, path, json={"source": "blocks", "lines": LINES[:3]})
            assert response.status_code == 503, (path, response.text)
            assert int(response.headers["Retry-After"]) >= 1
            assert "Redis is away" in response.json()["error"]
        await in_thread(own_redis.start)
        await until(lambda: ready(replica), "it noticed Redis")
        assert (await replica.metrics())["tocsin_redis_up"] == 1
        assert (await replica.ingest("blocks", LINES))["verdicts"][0]["state"] == "scored"


async def test_redis_killed_in_mid_stream_invents_nothing_and_heals(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    await in_thread(own_redis.start)
    expected = Stream(blocks_bundle()).feed(LINES, NOW).judged.lines
    async with running(own_redis.url, stored(tmp_path / "bundles", blocks_bundle())) as replica:
        first = await replica.ingest("blocks", LINES[:200])
        assert own_redis.pid is not None
        os.kill(own_redis.pid, signal.SIGKILL)
        await in_thread(own_redis.stop)
        while_away = await replica.http.post("/ingest", json={"source": "blocks", "lines": LINES[200:]})
        assert while_away.status_code == 503
        assert int(while_away.headers["Retry-After"]) >= 1
        assert set(while_away.json()) == {"error"}
        assert (await replica.http.get("/readyz")).status_code == 503
        refused = await replica.http.post("/ingest", json={"source": "blocks", "lines": LINES[200:]})
        assert refused.status_code == 503
        metrics = await replica.metrics()
        assert metrics["tocsin_redis_up"] == 0
        assert metrics['tocsin_lines_total{source="blocks"}'] == 200
        await in_thread(own_redis.start)
        await until(lambda: ready(replica), "it noticed that Redis is back")
        second = await replica.ingest("blocks", LINES[200:])
    found = [v for v in first["verdicts"] + second["verdicts"] if v["index"] is not None]
    assert [(v["session"], v["anomalous"], v["score"], v["incident"]) for v in found] == [
        (v["session"], v["anomalous"], v["score"], v["incident"]) for v in expected
    ]


async def test_redis_with_another_schema_is_refused_with_the_reason(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    await redis.set(keys.SCHEMA, "version=99 partitions=7")
    async with running(redis_url, stored(tmp_path / "bundles", blocks_bundle())) as replica:
        report = await replica.http.get("/readyz")
        assert report.status_code == 503
        assert "another schema (version=99 partitions=7" in report.json()["reasons"][0]

        async def told() -> bool:
            refused = await replica.http.post("/ingest", json={"source": "blocks", "lines": LINES[:3]})
            assert refused.status_code == 503
            return "another schema" in refused.json()["error"]

        await until(told, "the reason is given, once it is known that no key is asked for")
        assert await redis.dbsize() == 1


async def test_a_redis_that_comes_back_empty_is_filled_again(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    async with running(redis_url, stored(tmp_path / "bundles", blocks_bundle())) as replica:
        await replica.ingest("blocks", LINES[:100])
        await redis.flushall()
        answer = await replica.ingest("blocks", LINES[100:200])
        assert answer["versions"]["bundle"] == "1"
        assert {verdict["state"] for verdict in answer["verdicts"]} == {"scored"}
        async with running(redis_url, tmp_path / "bundles") as other:
            assert await other.texts("blocks") == await replica.texts("blocks")


async def test_redis_that_is_lost_for_a_moment_costs_only_that_request(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    await redis.ping()
    bundles = stored(tmp_path / "bundles", blocks_bundle(), shop_bundle())
    async with Link(redis_url) as link, running(link.url, bundles) as replica:
        await replica.ingest("blocks", LINES[:100])
        link.break_once(windows.APPEND.sha, seen_by_redis=False)
        broken, well = await asyncio.gather(
            replica.http.post("/ingest", json={"source": "blocks", "lines": LINES[100:200]}),
            replica.http.get("/healthz"),
        )
        assert (broken.status_code, well.status_code) == (503, 200)
        await until(lambda: ready(replica), "it is well again")
        await replica.ingest("shop", later_shop_lines(100))
        await replica.ingest("blocks", LINES[100:200])


async def test_background_work_goes_on_after_an_error_that_nobody_foresaw(
    redis: Redis, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await redis.ping()
    calls = {"closing": 0, "connecting": 0}

    def failing_once(name: str, own: Any) -> Any:
        async def called(*given: Any) -> Any:
            calls[name] += 1
            if calls[name] == 1:
                raise ValueError("nobody foresaw it")
            return await own(*given)

        return called

    async with running(redis_url, stored(tmp_path / "bundles", blocks_bundle())) as replica:
        core = replica.core
        monkeypatch.setattr(core, "sweep", failing_once("closing", core.sweep))
        monkeypatch.setattr(connection, "answers", failing_once("connecting", connection.answers))
        await until(lambda: min(calls.values()) >= 2, "both tasks go on")


def tampered(folder: Path) -> str:
    templates = folder / TEMPLATES
    templates.write_bytes(templates.read_bytes() + b" ")
    return "differs from its sha256"


def edited(folder: Path) -> str:
    manifest = orjson.loads((folder / MANIFEST).read_bytes())
    manifest["session"]["idle_s"] = 1.0
    (folder / MANIFEST).write_bytes(orjson.dumps(manifest))
    return "was changed after the bundle was made"


def newer(folder: Path) -> str:
    manifest = orjson.loads((folder / MANIFEST).read_bytes())
    manifest["format"] = 99
    (folder / MANIFEST).write_bytes(orjson.dumps(manifest))
    return "upgrade Tocsin"


def incomplete(folder: Path) -> str:
    (folder / TEMPLATES).unlink()
    return "is missing from the bundle"


def garbled(folder: Path) -> str:
    (folder / MANIFEST).write_bytes(b"{oops")
    return "is damaged"


@pytest.mark.parametrize("harm", [tampered, edited, newer, incomplete, garbled])
async def test_a_bundle_that_cannot_be_trusted_is_refused_and_the_others_serve(
    redis: Redis, redis_url: str, tmp_path: Path, harm: Any
) -> None:
    await redis.ping()
    bundles = stored(tmp_path / "bundles", blocks_bundle(), shop_bundle())
    reason = harm(bundles / "shop" / "1")
    async with running(redis_url, bundles) as replica:
        report = (await replica.http.get("/readyz")).json()
        assert reason in report["problems"]["shop"]
        assert "shop" not in report["sources"]
        refused = await replica.http.post("/ingest", json={"source": "shop", "lines": later_shop_lines(50)})
        assert refused.status_code == 409
        assert reason in refused.json()["error"]
        assert (await replica.ingest("blocks", LINES[:50]))["verdicts"]


async def test_a_refused_version_gives_way_to_one_that_can_be_read(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    """The newest version is damaged before the first start: an operator activates the one before it."""
    await redis.ping()
    bundles = stored(tmp_path / "bundles", shop_bundle(), shop_bundle("2", "another tree", 6_000))
    tampered(bundles / "shop" / "2")
    lines = later_shop_lines(50)
    async with running(redis_url, bundles) as replica:
        assert (await replica.http.post("/ingest", json={"source": "shop", "lines": lines})).status_code == 409
        assert (await replica.http.post("/models/shop/activate", json={"version": "2"})).status_code == 409
        activated = await replica.http.post("/models/shop/activate", json={"version": "1"})
        assert activated.status_code == 200, activated.text
        assert (await replica.ingest("shop", lines))["versions"] == {
            "bundle": "1", "tree": "shop-tree", "tree_version": shop_bundle().manifest.tree_version,
        }  # fmt: skip
        assert "shop" not in (await replica.get("/readyz"))["problems"]


async def test_sigterm_answers_every_request_that_was_accepted(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    """Redis pauses, so that all requests are in the service when SIGTERM comes; then it goes on."""
    child = Child(redis_url, stored(tmp_path / "bundles", blocks_bundle()), batch_lines=20)
    try:
        limits = httpx.Limits(max_connections=40)
        async with httpx.AsyncClient(timeout=PATIENCE_S, limits=limits) as http:
            await child.ready(http)
            first = await http.post(f"{child.url}/ingest", json={"source": "blocks", "lines": LINES[:20]})
            assert first.status_code == 200
            await redis.execute_command("CLIENT", "PAUSE", 30_000, "WRITE")  # type: ignore[no-untyped-call]
            bodies = [{"source": "blocks", "lines": [f"{line} #{n}" for line in LINES[20:40]]} for n in range(20)]
            tasks = [asyncio.create_task(http.post(f"{child.url}/ingest", json=body)) for body in bodies]

            async def all_wait() -> bool:
                exposed = (await http.get(f"{child.url}/metrics")).text
                return 'tocsin_queue_lines{source="blocks"} 380.0' in exposed

            await until(all_wait, "one batch is at work and 19 wait")
            child.terminate()
            await until(lambda: refuses(child.url), "it takes no more")
            assert not any(task.done() for task in tasks)
            await redis.execute_command("CLIENT", "UNPAUSE")  # type: ignore[no-untyped-call]
            answers = await asyncio.gather(*tasks)
            assert [answer.status_code for answer in answers] == [200] * 20
            assert all(len({v["index"] for v in a.json()["verdicts"]} - {None}) == 20 for a in answers)
        assert await child.ended() == 0
    finally:
        await redis.execute_command("CLIENT", "UNPAUSE")  # type: ignore[no-untyped-call]
        child.kill()


async def refuses(url: str) -> bool:
    """Whether new connections are refused."""
    try:
        async with httpx.AsyncClient(timeout=1.0) as http:
            await http.get(f"{url}/healthz")
    except httpx.TransportError:
        return True
    return False


async def test_requests_not_drained_in_time_are_told_so(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    await redis.ping()
    bundles = stored(tmp_path / "bundles", blocks_bundle())
    async with running(redis_url, bundles, drain_s=0.05) as replica:
        lock = replica.core.sources.live["blocks"].lock
        await lock.acquire()
        worker = replica.core._workers["blocks"]
        tasks = [asyncio.create_task(post(replica, LINES[:5]))]
        await until(lambda: worker._arrived.is_set() and not worker._waiting, "one is at work")
        tasks += [asyncio.create_task(post(replica, LINES[n : n + 5])) for n in (5, 10)]
        await until(lambda: len(worker._waiting) == 2, "two wait")
        await replica.core.stop()
        for response in await asyncio.gather(*tasks):
            assert response.status_code == 503
            assert response.headers["Retry-After"]
        late = await post(replica, LINES[:5])
        assert late.status_code == 503
        lock.release()


async def post(replica: Replica, lines: list[str]) -> httpx.Response:
    return await replica.http.post("/ingest", json={"source": "blocks", "lines": lines})
