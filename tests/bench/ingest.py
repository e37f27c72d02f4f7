"""HTTP end to end beside the yardstick: client, service and Redis on the same two cores, every verdict sent back.

Each turn starts a service of its own on an empty Redis, so every turn has the same sessions to open and nothing cached.
Several connections send the log as one shipper with so many of them does: whichever is free takes the next piece, and
requests that meet in the service become one batch there. Before several worker processes, between which no order is
promised, the lines of a session stay on one connection, as ``tocsin replay --connections`` does, and none runs far
ahead of the others in the log's time.
"""

import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from models.splitter import Splitter
from tests.bench import material, yardstick
from tests.bench.bundle import bundle
from tests.bench.client import Order, Steps, Turns, bodies, dealt, send
from tests.bench.measure import Report, Row, interleaved, rates, timed
from tests.bench.server import serving

TRAFFIC = ((1, 1, 1_000), (1, 4, 1_000), (2, 4, 1_000), (1, 1, 10_000), (1, 4, 10_000))
"""Worker processes of the service, connections of the client, lines a request."""
AHEAD_LINES = 1_000
"""How far a connection may be ahead of the others where each has sessions of its own: two hours of this log's time, of
the twelve after which a silent session ends. Without that all of them would wait for the slowest of each round."""
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
            if workers == 1:
                pieces = bodies(data.lines, size)
                requests = [pieces[first::connections] for first in range(connections)]
                order: Order = Turns(connections)
            else:
                requests = [bodies(lines, size) for lines in dealt(data.lines, records, connections)]
                order = Steps(connections, AHEAD_LINES // size)
            contenders[name] = partial(_turn, trained.bundles, workers, requests, order, len(data.lines), stages, name)
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


def _turn(
    bundles: Path,
    workers: int,
    requests: list[list[list[str]]],
    order: Order,
    lines: int,
    stages: Stages,
    name: str,
) -> float:
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        shutil.copytree(bundles, Path(folder) / "bundles")
        with serving(Path(folder), workers) as service:
            taken, verdicts = send(service, requests, order)
            if workers == 1:  # of several, one alone would answer for itself
                stages[name] = service.stages()
    if verdicts < lines:
        raise RuntimeError(f"{verdicts} verdicts for {lines} lines")
    return taken
