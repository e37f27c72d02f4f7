"""Every query of every Grafana dashboard, and every recording rule, put to a real Prometheus that scrapes the service:
each has something to show."""

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
import yaml
from redis.asyncio import Redis

from service.inventory import Inventory
from tests.golden import blocks
from tests.service.listening import listening
from tests.service.page.test_views import as_version
from tests.service.serving import Replica, blocks_bundle, running, stored, until

DOCKER = Path(__file__).parents[2] / "docker"
DASHBOARDS = sorted((DOCKER / "grafana/dashboards").glob("*.json"))
PATIENCE_S = 120.0
STRANGE = "240501 000010 21 INFO store.Names: quarantine of blk_1 ordered by operator eve"
_LISTENS = re.compile(rb'msg="Listening on" address=127\.0\.0\.1:([0-9]+)')


@asynccontextmanager
async def prometheus(program: str, folder: Path, scraped: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a Prometheus that runs with our own configuration, at a quicker pace."""
    config = yaml.safe_load((DOCKER / "prometheus/prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(DOCKER / "prometheus/rules.yml")]
    (job,) = config["scrape_configs"]
    job["static_configs"] = [{"targets": [scraped]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    process = await asyncio.create_subprocess_exec(
        program, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'series'}",
        "--web.listen-address=127.0.0.1:0", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    said = b""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while (found := _LISTENS.search(said)) is None:
                line = await process.stderr.readline()
                assert line, said.decode()
                said += line
        # Read on, or it would stop once the pipe is full.
        reading = asyncio.create_task(process.stderr.read())
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{found[1].decode()}", timeout=30.0) as client:
            yield client
        reading.cancel()
    finally:
        process.terminate()
        await process.wait()


async def work(replica: Replica) -> None:
    """What a day brings: sessions that end, lines that are wrong or new, answers, and the same lines again."""
    # The newest is live at first; the other has a network, whose cache has hits.
    for path, version in (("activate", "1"), ("shadow", "2")):
        done = await replica.http.post(f"/models/blocks/{path}", json={"version": version})
        assert done.status_code == 200, done.text
    for seed in range(1, 10_000):
        strange = STRANGE.replace("blk_1", f"blk_{seed}")
        lines = [*blocks.normal_log(seed=seed), strange, "this line has no header"]
        verdicts = (await replica.ingest("blocks", lines))["verdicts"]
        if seed == 1:
            (incident,) = {v["incident"] for v in verdicts if (v["template"] or "").startswith("quarantine")}
            answer = {"incident": incident, "label": "false_positive"}
            assert (await replica.http.post("/feedback", json=answer)).status_code in (200, 201)
        await asyncio.sleep(0.5)


def expressions() -> dict[str, str]:
    """Every query by the place where it stands, Grafana's own variables filled in."""
    found = {}
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                expression = target["expr"].replace("$__rate_interval", "10s").replace("$source", ".*")
                found[f"{path.stem}: {panel['title']} ({target['refId']})"] = expression
    for group in yaml.safe_load((DOCKER / "prometheus/rules.yml").read_text())["groups"]:
        found |= {rule["record"]: rule["record"] for rule in group["rules"] if "record" in rule}
    return found


@pytest.mark.slow
async def test_every_query_of_every_dashboard_has_something_to_show(
    redis: Redis, redis_url: str, tmp_path: Path, require_program: Callable[[str], str]
) -> None:
    await redis.ping()
    bundles = stored(tmp_path / "bundles", blocks_bundle(), as_version("2", {"passed": True, "reasons": []}))
    settings = {"drift_lines": 200, "drift_psi": 0.01, "feedback_alone": -1}
    async with running(redis_url, bundles, **settings) as replica, listening(replica) as address:
        working = asyncio.create_task(work(replica))
        async with prometheus(require_program("prometheus"), tmp_path, address.removeprefix("http://")) as client:
            empty = dict(expressions())
            assert len(empty) > 30

            async def all_show() -> bool:
                assert not working.done()
                for place, expression in list(empty.items()):
                    answer = (await client.get("/api/v1/query", params={"query": expression})).json()
                    assert answer["status"] == "success", (place, answer)
                    if any(not math.isnan(float(series["value"][1])) for series in answer["data"]["result"]):
                        del empty[place]
                return not empty

            try:
                await until(all_show, "every query shows something", PATIENCE_S)
            except AssertionError as error:
                if working.done():
                    working.result()
                raise AssertionError(f"nothing to show for {empty}") from error
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working


async def test_what_stands_in_redis_is_counted(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    await redis.ping()
    async with running(redis_url, stored(tmp_path / "bundles", blocks_bundle())) as replica:
        core = replica.core
        found = await replica.ingest("blocks", blocks.golden_log())
        assert any(verdict["incident"] for verdict in found["verdicts"])
        await Inventory(core.redis, core.sessions, core.metrics, lambda: ["blocks"]).take()
        metrics = await replica.metrics()
        listed = (await replica.get("/incidents", source="blocks", limit=1000))["incidents"]
        assert metrics['tocsin_incidents_kept{source="blocks"}'] == len(listed) > 0
        assert metrics['tocsin_live_sessions{source="blocks"}'] == await core.sessions.count_live("blocks") > 0
        assert metrics['tocsin_lessons_waiting{source="blocks"}'] == 0
        assert metrics["tocsin_redis_memory_bytes"] > 100_000
        assert metrics["tocsin_redis_clients"] >= 1
        ended = [verdict for verdict in found["verdicts"] if verdict["kind"] == "session"]
        assert metrics['tocsin_session_score_count{source="blocks"}'] == len(ended) > 0
