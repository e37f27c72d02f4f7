"""What one line costs each process: seconds of CPU of the service and of its Redis, by lines a request.

CPU time and not the clock, so that figures of a machine that is shared still say how many cores a rate needs; what the
client spends is not counted. Linux only: the times are read from ``/proc``.
"""

import os
import re
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import redis

from service.state.embedded import attach
from tests.bench import material
from tests.bench.bundle import bundle
from tests.bench.client import bodies, send
from tests.bench.ingest import MICROSECONDS
from tests.bench.measure import Report, Row
from tests.bench.server import Service, serving

TRAFFIC = ((1, True), (100, True), (1_000, True), (10_000, True), (1_000, False), (10_000, False))
"""Lines a request, and whether it waits for its verdicts; those of the others are read by nobody."""
JUDGED_WITHIN_S = 600.0
_LINES = re.compile(r'^tocsin_lines_total\{source="hdfs"\} ([0-9.e+]+)$', re.MULTILINE)
ONE_BY_ONE = 10_000
"""Lines of the turn in which each request has one."""


def run(settings: material.Settings) -> Report:
    """Microseconds of CPU a line, medians over the turns."""
    data = material.hdfs(settings)
    rows = []
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        trained = bundle(settings, data, Path(folder))
        for size, wait in TRAFFIC:
            lines = data.lines[:ONE_BY_ONE] if size == 1 else data.lines
            found = []
            for _ in range(settings.repeats):
                with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as state:
                    shutil.copytree(trained.bundles, Path(state) / "bundles")
                    with serving(Path(state)) as service:
                        before = _spent(service)
                        send(service, [bodies(lines, size)], wait=wait)
                        if not wait:
                            _judged(service, len(lines))
                        found.append([after - begun for after, begun in zip(_spent(service), before, strict=True)])
            for place, name in enumerate(("service", "Redis")):
                spent = statistics.median(turn[place] for turn in found) / len(lines) * MICROSECONDS
                how = "" if wait else ", accepted for later"
                rows.append(Row(f"{name}, {size:,} lines a request{how}", spent, "us CPU a line"))
    return Report(f"CPU of each process ({', '.join(trained.detectors)})", rows)


def _judged(service: Service, lines: int) -> None:
    """Wait until all lines were judged."""
    deadline = time.monotonic() + JUDGED_WITHIN_S
    while True:
        found = _LINES.search(service.metrics())
        if found is not None and float(found[1]) >= lines:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"not all lines were judged within {JUDGED_WITHIN_S:g} s")
        time.sleep(0.2)


def _spent(service: Service) -> tuple[float, float]:
    """Seconds of CPU of the service and of its Redis so far."""
    client = redis.Redis.from_url(attach(service.data_dir))
    try:
        server = int(client.info("server")["process_id"])
    finally:
        client.close()
    return _cpu_s(service.pid), _cpu_s(server)


def _cpu_s(pid: int) -> float:
    # After the name, which may hold blanks, in parentheses: proc(5), fields 14 and 15.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
