"""What the benchmarks work on: the HDFS log, and which machine they run on."""

import os
from dataclasses import dataclass
from pathlib import Path

from models.source.config import Source
from training.logs import read_lines


class Absent(Exception):
    """A part that a benchmark needs is not here; the message says which."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What all benchmarks were asked for. ``bundle``: a folder SOURCE/VERSION to serve instead of training one."""

    repeats: int
    lines: int | None
    bundle: Path | None


@dataclass(frozen=True, slots=True)
class Hdfs:
    """The HDFS log with its source: ``lines`` as they stand in the file."""

    source: Source
    log: Path
    labels: Path
    lines: list[str]


def root() -> Path:
    """Where public data sets lie."""
    return Path(os.environ.get("TOCSIN_DATASETS_DIR", "~/.cache/tocsin/datasets")).expanduser()


def hdfs(settings: Settings) -> Hdfs:
    """The HDFS log; Absent where there are no public data sets."""
    folder = root() / "hdfs"
    log, labels = folder / "hdfs.log.gz", folder / "labels.csv"
    if not log.is_file():
        raise Absent(f"there is no {log.name} under {folder} (set TOCSIN_DATASETS_DIR)")
    return Hdfs(Source.load("hdfs"), log, labels, read_lines([log])[: settings.lines])


def stay_on_two_cores() -> int:
    """Keep this process and its children on two cores, as the targets are stated; returns how many it has."""
    if not hasattr(os, "sched_setaffinity"):
        return os.cpu_count() or 1
    cores = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, cores)
    return len(cores)


def load() -> float:
    """The machine's load average over the last minute: with others at work the ratios say less."""
    return os.getloadavg()[0]
