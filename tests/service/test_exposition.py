"""Metrics of several worker processes are one exposition, whichever of them is asked."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from service.exposition import FOLDER, exposition, shared
from service.metrics import Metrics
from tests.service.serving import Child, batches_of, later_shop_lines, shop_bundle, shop_source, stored

WORKER = """
import os, signal, sys
from prometheus_client import CollectorRegistry
from service.exposition import exposition, take_away
from service.metrics import Metrics

metrics = Metrics(CollectorRegistry())
metrics.lines.labels("s").inc(int(sys.argv[1]))
metrics.queue_lines.labels("s").set(int(sys.argv[1]))
metrics.stage_seconds.labels("split").observe(0.001)
metrics.score_psi.labels("s").set(0.5)
take_away(metrics.score_psi, "s")
print(exposition(metrics.registry).decode(), flush=True)
sys.stdin.read()
"""


def samples(text: str) -> dict[str, str]:
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


def worker(lines: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(lines)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def told(process: subprocess.Popen[str]) -> dict[str, str]:
    """What it exposes, once it has said all of it."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line == "\n":
            break
    return samples("".join(lines).strip())


def test_one_process_exposes_its_own_registry() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.lines.labels("s").inc(3)
    assert samples(exposition(metrics.registry).decode())['tocsin_lines_total{source="s"}'] == "3.0"


def test_workers_add_up_and_a_dead_one_leaves_what_it_counted() -> None:
    with shared():
        folder = Path(os.environ[FOLDER])
        first = worker(3)
        assert told(first)['tocsin_queue_lines{source="s"}'] == "3.0"
        second = worker(4)
        both = told(second)
        assert both['tocsin_lines_total{source="s"}'] == "7.0"
        assert both['tocsin_queue_lines{source="s"}'] == "7.0"
        assert both['tocsin_stage_seconds_count{stage="split"}'] == "2.0"
        assert both['tocsin_score_psi{source="s"}'] == "NaN"
        first.kill()
        first.communicate()
        third = worker(5)
        left = told(third)
        assert left['tocsin_lines_total{source="s"}'] == "12.0"
        assert left['tocsin_queue_lines{source="s"}'] == "9.0"
        for process in (second, third):
            process.communicate()
    assert FOLDER not in os.environ
    assert not folder.exists()


async def test_two_workers_on_one_port_expose_all_that_came(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    child = Child(redis_url, stored(tmp_path / "bundles", shop_bundle()), workers=2)
    try:
        lines = later_shop_lines(200)
        for batch in batches_of(shop_source(), lines, 20):
            async with httpx.AsyncClient(timeout=60.0) as http:  # a connection of its own: any worker may take it
                await child.ready(http)
                answer = await http.post(f"{child.url}/ingest", json={"source": "shop", "lines": batch})
                assert answer.status_code == 200
        for _ in range(4):
            async with httpx.AsyncClient(timeout=60.0) as http:
                found = samples((await http.get(f"{child.url}/metrics")).text)
                assert found['tocsin_lines_total{source="shop"}'] == f"{len(lines):.1f}"
        child.terminate()
        await child.ended()
    finally:
        child.kill()
