"""HTTP end to end beside the yardstick: client, service and Redis on the same two cores, every verdict sent back.

Each turn starts a service of its own on an empty Redis, so every turn has the same sessions to open and nothing cached.
With several connections the lines of a session stay on one of them, as ``tocsin replay --connections`` does, and none
runs far ahead of the others in the log's time; requests that meet in the service become one batch there.
"""

import contextlib
import shutil
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import orjson

from models.record import Records
from models.splitter import Splitter
from tests.bench import material, yardstick
from tests.bench.bundle import bundle
from tests.bench.measure import Report, Row, interleaved, rates, timed
from tests.bench.server import Service, serving

TRAFFIC = ((1, 1, 1_000), (1, 4, 1_000), (2, 4, 1_000), (1, 1, 10_000), (1, 4, 10_000))
"""Worker processes of the service, connections of the client, lines a request."""
AHEAD_LINES = 1_000
"""How far a connection may be ahead of the others: two hours of this log's time, of the twelve after which a silent
session ends. Without that all of them would wait for the slowest of each round."""
TARGETS = {1_000: 3.0, 10_000: 5.0}
"""Times the yardstick, by lines a request."""
TRAINED_WITHIN_S = 120.0
MICROSECONDS = 1e6

Stages = dict[str, dict[str, tuple[float, int]]]
Turn = Callable[[], float]


def run(settings: material.Settings) -> Report:
    """Lines per second as the client sees them, and where the service spent its time."""
    data = material.hdfs(settings)
    records = Splitter(data.source).split(data.lines, time.time())
    messages = records.message.to_list()
    contenders: dict[str, Turn] = {yardstick.NAME: timed(lambda: yardstick.mine(data.source, messages))}
    stages: Stages = {}
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        trained = bundle(settings, data, Path(folder))
        for workers, connections, size in TRAFFIC:
            name = f"batches of {size:,}, {connections} connections, {workers} workers"
            requests = [bodies(lines, size) for lines in dealt(data.lines, records, connections)]
            contenders[name] = partial(_turn, trained.bundles, workers, requests, len(data.lines), stages, name)
        seconds = interleaved(contenders, settings.repeats)
    targets = {name: aim for name in contenders for size, aim in TARGETS.items() if f"batches of {size:,}," in name}
    rows = rates(seconds, len(data.lines), yardstick.NAME, targets)
    if trained.trained_s is not None:
        rows.append(
            Row(
                f"training of {', '.join(trained.detectors)}", trained.trained_s, "s", None,
                f"under {TRAINED_WITHIN_S:g} s", trained.trained_s < TRAINED_WITHIN_S,
            )
        )  # fmt: skip
    notes = [
        f"{name}, microseconds a line in each stage: "
        + ", ".join(
            f"{stage} {spent / len(data.lines) * MICROSECONDS:.1f}"
            for stage, (spent, _) in sorted(found.items(), key=lambda item: -item[1][0])
        )
        for name, found in stages.items()
    ]
    return Report(f"HTTP end to end ({', '.join(trained.detectors)})", rows, notes)


def dealt(lines: Sequence[str], records: Records, connections: int) -> list[list[str]]:
    """The lines of each connection: all lines of a session (a line's first) on the same one, in order."""
    hands: list[list[str]] = [[] for _ in range(connections)]
    session = dict(zip(records.session_record.tolist()[::-1], records.session.to_list()[::-1], strict=True))
    for record, line in enumerate(records.index.tolist()):
        hands[zlib.crc32(session[record].encode()) % connections].append(lines[line])
    return hands


def bodies(lines: Sequence[str], size: int) -> list[list[str]]:
    """Lines in requests of ``size``."""
    return [list(lines[begin : begin + size]) for begin in range(0, len(lines), size)]


def send(service: Service, requests: Sequence[Sequence[Sequence[str]]], *, wait: bool = True) -> tuple[float, int]:
    """Post the requests of each connection, one after the other, connections side by side; seconds and verdicts (none
    where it does not ``wait`` for them).

    The client is charged for making bodies and for reading every verdict.
    """
    began = time.perf_counter()
    step = Step(len(requests), AHEAD_LINES // max(1, len(requests[0][0])) if requests[0] else 0)
    if len(requests) == 1:
        verdicts = _post(service, wait, step, 0, requests[0])
    else:
        with ThreadPoolExecutor(len(requests)) as pool:
            verdicts = sum(pool.map(partial(_post, service, wait, step), range(len(requests)), requests))
    return time.perf_counter() - began, verdicts


class Step:
    """Keeps connections within so many requests of each other, as those of one log's senders are in time: one that runs
    ahead by hours of the log would end every session of the others for silence."""

    def __init__(self, connections: int, ahead: int) -> None:
        self._ahead = ahead
        self._sent = [0] * connections
        self._moved = threading.Condition()

    def wait(self, connection: int) -> None:
        """Return once none of the others is farther behind than that."""
        with self._moved:
            self._moved.wait_for(lambda: self._sent[connection] <= min(self._sent) + self._ahead)

    def moved(self, connection: int, *, over: bool = False) -> None:
        """A request of this connection was answered, or it has no more."""
        with self._moved:
            self._sent[connection] = sys.maxsize if over else self._sent[connection] + 1
            self._moved.notify_all()


def _post(service: Service, wait: bool, step: Step, number: int, requests: Sequence[Sequence[str]]) -> int:
    verdicts = 0
    headers = {"Content-Type": "application/json"}
    with contextlib.closing(service.connection()) as connection, contextlib.ExitStack() as ended:
        ended.callback(step.moved, number, over=True)
        for lines in requests:
            step.wait(number)
            path = "/ingest?verdicts=all" if wait else "/ingest?wait=false&verdicts=anomalous"
            connection.request("POST", path, orjson.dumps({"source": "hdfs", "lines": lines}), headers)
            response = connection.getresponse()
            answer = response.read()
            if response.status != (200 if wait else 202):
                raise RuntimeError(f"the service answered {response.status}: {answer[:500]!r}")
            verdicts += len(orjson.loads(answer)["verdicts"]) if wait else 0
            step.moved(number)
    return verdicts


def _turn(bundles: Path, workers: int, requests: list[list[list[str]]], lines: int, stages: Stages, name: str) -> float:
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        shutil.copytree(bundles, Path(folder) / "bundles")
        with serving(Path(folder), workers) as service:
            taken, verdicts = send(service, requests)
            if workers == 1:  # of several, one alone would answer for itself
                stages[name] = service.stages()
    if verdicts < lines:
        raise RuntimeError(f"{verdicts} verdicts for {lines} lines")
    return taken
