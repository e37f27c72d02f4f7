"""How long the service takes to get ready, and what it holds while idle."""

import statistics
import tempfile
import time
from pathlib import Path

from tests.bench import material
from tests.bench.bundle import bundle
from tests.bench.measure import Report, Row
from tests.bench.server import serving

READY_WITHIN_S = 5.0
IDLE_MIB = 400.0
SETTLE_S = 2.0


def run(settings: material.Settings) -> Report:
    """Seconds from spawn to /readyz 200 with an HDFS bundle, and resident memory once it is idle."""
    data = material.hdfs(settings)
    ready, idle, redis, torch = [], [], [], False
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        bundle(settings, data, Path(folder))
        for _ in range(settings.repeats):
            with serving(Path(folder)) as service:
                time.sleep(SETTLE_S)
                ready.append(service.ready_s)
                idle.append(service.rss_mib())
                redis.append(service.redis_rss_mib())
                torch = torch or service.loaded("libtorch")
    seconds, mib = statistics.median(ready), statistics.median(idle)
    rows = [
        Row("ready after", seconds, "s", None, f"under {READY_WITHIN_S:g} s", seconds < READY_WITHIN_S),
        Row("idle memory of the service", mib, "MiB", None, f"under {IDLE_MIB:g} MiB", mib < IDLE_MIB),
        Row("idle memory of its Redis", statistics.median(redis), "MiB"),
    ]
    return Report("Start", rows, ["torch was loaded" if torch else "torch was not loaded"])
