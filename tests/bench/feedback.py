"""From a click to quiet, and to a version that has learned it: two replicas and a learner on the HDFS log's later part.

The first false incidents of lines are answered one by one. To quiet: from the click until the other replica judges
the same session's lines, under a fresh name, and silences what rang. To published: from the first click until a new
version is live. Meanwhile one connection sends the log again and again: its pace beside that of an idle learner.
"""

import contextlib
import http.client
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from models.splitter import Splitter
from tests.bench import material
from tests.bench.bundle import bundle
from tests.bench.measure import Report, Row
from tests.bench.server import Service, serving
from training.logs import read_labels

CLICKS = 10
REQUEST_LINES = 1_000
IDLE_S = 8.0
"""How long the pace is measured while nothing is learned."""
PUBLISHED_WITHIN_S = 120.0
BLOCK = re.compile(r"blk_-?\d+")


def run(settings: material.Settings) -> Report:
    """Seconds, and the pace of serving while the learner works as a share of that while it does not."""
    data = material.hdfs(settings)
    labels = read_labels(data.labels).anomalous
    end = float(Splitter(data.source).split(data.lines[-100:], time.time()).time.max())
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        trained = bundle(settings, data, Path(folder))
        state = Path(folder) / "state"
        state.mkdir()
        shutil.copytree(trained.bundles, state / "bundles")
        with serving(state) as one, serving(state) as other:
            _send(one, data.lines)
            false = [found for found in _incidents(one) if labels.get(found["session"]) is False][:CLICKS]
            with _learner(state), _pace(other, data.lines, end) as pace:
                time.sleep(IDLE_S)
                idle, before = pace(), _live(one)
                began = time.perf_counter()
                quiet = [_click(one, other, found, data.lines, end) for found in false]
                while _live(one) == before:
                    if time.perf_counter() - began > PUBLISHED_WITHIN_S:
                        raise RuntimeError(f"no version was published:\n{(state / 'learner.log').read_text()[-2000:]}")
                    time.sleep(0.1)
                published, busy = time.perf_counter() - began, pace()
    rows = [
        Row("click to quiet in the other replica, median", 1e3 * statistics.median(quiet), "ms"),
        Row("click to quiet, longest", 1e3 * max(quiet), "ms", None, "under 1 s", max(quiet) < 1.0),
        Row("first click to a published version", published, "s", None, "under 60 s", published < 60.0),
        Row("lines/s while the learner is idle", idle, "lines/s"),
        Row("lines/s from the first click to the new version", busy, "lines/s", busy / idle, "at least 0.5 x",
            busy >= 0.5 * idle),
    ]  # fmt: skip
    return Report(f"Feedback on {len(false)} false incidents ({', '.join(trained.detectors)})", rows)


def _send(
    service: Service, lines: Sequence[str], wanted: str = "none", at: float | None = None
) -> list[dict[str, Any]]:
    """Verdicts of lines; ``at``: as if all were written then, seconds since the epoch."""
    verdicts: list[dict[str, Any]] = []
    if at is not None:
        body = {"source": "hdfs", "records": [{"line": line, "timestamp": at} for line in lines]}
        with contextlib.closing(service.connection()) as connection:
            return list(_call(connection, "POST", f"/ingest?verdicts={wanted}", body)["verdicts"])
    with contextlib.closing(service.connection()) as connection:
        for start in range(0, len(lines), REQUEST_LINES):
            body = {"source": "hdfs", "lines": lines[start : start + REQUEST_LINES]}
            verdicts += _call(connection, "POST", f"/ingest?verdicts={wanted}", body)["verdicts"]
    return verdicts


def _call(connection: http.client.HTTPConnection, method: str, path: str, body: object = None) -> dict[str, Any]:
    connection.request(method, path, None if body is None else orjson.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    if response.status >= 300:
        raise RuntimeError(f"{method} {path}: {response.status} {answer[:500]!r}")
    found: dict[str, Any] = orjson.loads(answer)
    return found


def _incidents(service: Service) -> list[dict[str, Any]]:
    """Incidents of lines, the oldest first."""
    with contextlib.closing(service.connection()) as connection:
        page = _call(connection, "GET", "/incidents?source=hdfs&limit=1000")
    return [found for found in reversed(page["incidents"]) if found["kind"] == "line"]


def _live(service: Service) -> str:
    with contextlib.closing(service.connection()) as connection:
        (found,) = [one for one in _call(connection, "GET", "/models")["models"] if one["source"] == "hdfs"]
    return str(found["live"])


def _click(one: Service, other: Service, incident: dict[str, Any], lines: Sequence[str], at: float) -> float:
    """Seconds until the other replica is silent about the same, written at ``at``, which is no time before the last
    line's: it would come too late for a session of its own."""
    own = [line for line in lines if incident["session"] in line]
    fresh = f"blk_9{time.time_ns()}"
    again = [BLOCK.sub(fresh, line) for line in own]
    began = time.perf_counter()
    with contextlib.closing(one.connection()) as connection:
        connection.request(
            "POST", "/feedback", orjson.dumps({"incident": incident["id"], "label": "false_positive"}),
            {"Content-Type": "application/json"},
        )  # fmt: skip
        response = connection.getresponse()
        answer = response.read()
    # 409: an earlier click silences it already.
    if response.status not in (201, 409):
        raise RuntimeError(f"POST /feedback: {response.status} {answer[:500]!r}")
    found = _send(other, again, "all", at)
    taken = time.perf_counter() - began
    same = [verdict for verdict in found if verdict["template"] == incident["template"]]
    if not any(verdict["state"] == "silenced" and not verdict["anomalous"] for verdict in same):
        raise RuntimeError(f"incident {incident['id']} is not silenced: {[verdict['state'] for verdict in same]}")
    return taken


@contextlib.contextmanager
def _learner(state: Path) -> Iterator[None]:
    environment = {"TOCSIN_DATA_DIR": str(state)}
    with (state / "learner.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "learner", "--json"], env=environment, stdout=log, stderr=log
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


@contextlib.contextmanager
def _pace(service: Service, lines: Sequence[str], end: float) -> "Iterator[Any]":
    """Send lines all the time, as if written at ``end`` (seconds since the epoch); calling what it gives tells lines a
    second since the last call."""
    stop, sent, rounds, since = threading.Event(), [0], [0], [time.perf_counter(), 0]

    def work() -> None:
        while not stop.is_set():
            # The same blocks again would be sessions that never end, and the same times too late.
            rounds[0] += 1
            for start in range(0, len(lines), REQUEST_LINES):
                if stop.is_set():
                    return
                part = lines[start : start + REQUEST_LINES]
                fresh = [line.replace("blk_-", "blk_").replace("blk_", f"blk_{rounds[0]}") for line in part]
                _send(service, fresh, "none", end)
                sent[0] += len(part)

    def pace() -> float:
        now, done = time.perf_counter(), sent[0]
        found = (done - since[1]) / (now - since[0])
        since[:] = now, done
        return found

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield pace
    finally:
        stop.set()
        worker.join()
