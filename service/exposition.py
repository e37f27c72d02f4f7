"""Metrics as Prometheus reads them: of this process, or of all worker processes where several share a port.

Owns where worker processes write their numbers and how they become one exposition. Does not know what is counted.
prometheus_client decides when it is imported whether a process is one of several, so ``shared`` comes before the
workers are started, and only they see it.
"""

import contextlib
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_OF_SOURCE = re.compile(rb'[{,]source="([^"]*)"')
_LIVE_GAUGE = re.compile(r"gauge_live[a-z]+_([0-9]+)\.db")


@contextlib.contextmanager
def shared() -> Iterator[None]:
    """Let worker processes that are started meanwhile write their numbers to one place, which ends with this."""
    with tempfile.TemporaryDirectory(prefix="tocsin-metrics-") as folder:
        os.environ[FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[FOLDER]


def exposition(registry: CollectorRegistry) -> bytes:
    """All metrics in Prometheus' text format: those of ``registry``, or of every worker process beside it.

    Counters of a worker that died still count; its gauges do not.
    """
    folder = os.environ.get(FOLDER)
    if folder is None:
        return generate_latest(registry)
    for path in Path(folder).iterdir():
        found = _LIVE_GAUGE.fullmatch(path.name)
        if found is not None and not _alive(int(found[1])):
            mark_process_dead(int(found[1]), folder)  # type: ignore[no-untyped-call]
    together = CollectorRegistry()
    MultiProcessCollector(together, folder)  # type: ignore[no-untyped-call]
    return generate_latest(together)


def of_sources(text: bytes, sees: Callable[[str], bool]) -> bytes:
    """An exposition without the samples of sources that somebody may not see."""
    kept = []
    for line in text.splitlines(keepends=True):
        named = _OF_SOURCE.search(line)
        if line.startswith(b"#") or named is None or sees(named[1].decode()):
            kept.append(line)
    return b"".join(kept)


def take_away(gauge: Gauge, *labels: str) -> None:
    """A gauge that cannot say anything now: absent, or not a number where it was written for all workers to see."""
    if FOLDER in os.environ:
        gauge.labels(*labels).set(math.nan)
    else:
        gauge.remove(*labels)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
