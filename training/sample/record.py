"""Records the sample: ``python -m training.sample.record --out DIR [--sessions N] [--seed N] [--pause-ms N]``.

Starts a private PostgreSQL server, runs the shop's clients against it with faults at known sessions, and keeps the
log as the server wrote it (``postgres.log.gz``) beside ``labels.csv`` (``session,anomalous,kind``, a row per session
id in the log). Owns the order of the scripts; what they say is `workload.py`'s and `faults.py`'s.
"""

import argparse
import csv
import gzip
import random
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from models.errors import TocsinError
from training.sample.client import DATABASE, Observer, load_driver
from training.sample.faults import FAULTS
from training.sample.lane import Lane, Script
from training.sample.lines import LINE
from training.sample.schema import LANES, setup_statements
from training.sample.server import Server
from training.sample.workload import NORMAL

SESSIONS = 1300
CLIENTS = 6
LOG_FILE = "postgres.log.gz"
LABELS_FILE = "labels.csv"

# A little more than the promised 60 %: clients run side by side, so a session may start a few places early.
_FAULT_FREE = 0.615


class RecordingError(TocsinError):
    """A scripted session did not go as scripted."""


@dataclass(frozen=True, slots=True)
class Step:
    """One script of the plan; ``kind`` is its fault, empty for a normal one."""

    script: Script
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Recording:
    """What was recorded: sessions and physical lines in the log, faulty sessions by kind, PostgreSQL's version."""

    version: str
    sessions: int
    lines: int
    faulty: dict[str, int]


def plan(sessions: int, rng: random.Random) -> list[Step]:
    """Which scripts run, in order: blocks of the same normal ones, and faults scattered over the last part.

    Args:
        sessions: about how many client sessions; a script opens one or two.
    """
    share = sessions / SESSIONS
    faults: list[Step] = []
    for turn in range(max(fault.count for fault in FAULTS)):
        # Kind after kind, so that a short recording has as many kinds as it has faults.
        kinds = [Step(fault.script, fault.kind) for fault in FAULTS if fault.count > turn]
        rng.shuffle(kinds)
        faults += kinds
    faults = (faults * (1 + int(share)))[: max(1, round(len(faults) * share))]
    normal: list[Step] = []
    while len(normal) + len(faults) < sessions:
        block = [Step(script) for script, count in NORMAL for _ in range(count)]
        rng.shuffle(block)
        normal += block
    normal = normal[: max(1, sessions - len(faults))]
    free = min(len(normal), round(_FAULT_FREE * (len(normal) + len(faults))))
    late = [*normal[free:], *faults]
    rng.shuffle(late)
    return normal[:free] + late


def record(out: Path, sessions: int, seed: int, pause_s: float, progress: Progress | None = None) -> Recording:
    """Record into the folder ``out``.

    Args:
        sessions: about how many client sessions.
        seed: of the plan and of every value. The log still differs between runs in times, process ids and the
            order of clients that run side by side.
        pause_s: mean think time of a client before each statement, seconds.

    Raises:
        RecordingError: a session met an error that its script does not expect.
        TocsinError: no PostgreSQL server or no client library is installed, or the server did not start or stop.
    """
    load_driver()
    steps = plan(sessions, random.Random(seed))
    task = progress.add_task("sessions", total=len(steps)) if progress else None
    with tempfile.TemporaryDirectory(prefix="tocsin-sample-log-") as folder:
        raw = Path(folder) / "postgres.log"
        with Server(raw) as server:
            version = server.version()
            observer = _open_shop(server.socket_dir)

            def finished() -> None:
                if progress is not None and task is not None:
                    progress.advance(task)

            try:
                _run(steps, observer, server.socket_dir, seed, pause_s, finished)
                observer.wait_until_alone()
            finally:
                observer.close()
            server.stop()
        log = raw.read_bytes()
    out.mkdir(parents=True, exist_ok=True)
    # mtime=0: the archive's bytes depend on the log alone.
    (out / LOG_FILE).write_bytes(gzip.compress(log, compresslevel=9, mtime=0))
    found = _sessions_of(log)
    _write_labels(out / LABELS_FILE, found, observer.labels)
    kinds = sorted(observer.labels.values())
    return Recording(version, len(found), log.count(b"\n"), {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)})


def _open_shop(host: Path) -> Observer:
    first = Observer(host, database="postgres")
    first.run(f"CREATE DATABASE {DATABASE}")
    first.close()
    observer = Observer(host)
    for statement in setup_statements():
        observer.run(statement)
    # Only now, so that the recorder's own connection is never announced; a reload touches new sessions only.
    for setting in ("log_connections", "log_disconnections"):
        observer.run(f"ALTER SYSTEM SET {setting} = on")
    observer.run("SELECT pg_reload_conf()")
    return observer


def _run(
    steps: Sequence[Step], observer: Observer, host: Path, seed: int, pause_s: float, finished: Callable[[], None]
) -> None:
    driver = load_driver()
    queue = iter(enumerate(steps))
    lock = threading.Lock()
    failed = threading.Event()

    def serve(number: int) -> None:
        while True:
            with lock:
                serial, step = next(queue, (-1, None))
            if step is None or failed.is_set():
                return
            rng = random.Random(f"{seed}/{serial}")
            try:
                step.script(Lane(observer, host, number, serial, rng, pause_s, step.kind))
            except driver.Error as error:
                failed.set()
                raise RecordingError(
                    f"script {serial} ({step.kind or 'normal'}) met an error that it does not expect, "
                    f"record again on a quieter machine: {error}"
                ) from error
            finished()

    with ThreadPoolExecutor(max_workers=min(CLIENTS, LANES)) as pool:
        for done in [pool.submit(serve, number) for number in range(min(CLIENTS, LANES))]:
            done.result()


def _sessions_of(log: bytes) -> list[str]:
    matches = (LINE.match(line) for line in log.decode().splitlines())
    return list(dict.fromkeys(match["session"] for match in matches if match))


def _write_labels(path: Path, sessions: Sequence[str], labels: dict[str, str]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("session", "anomalous", "kind"))
        for session in sessions:
            kind = labels.get(session, "")
            writer.writerow((session, int(bool(kind)), kind))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m training.sample.record",
        description="Record the sample log: a private PostgreSQL server under a scripted shop, faults included.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for postgres.log.gz and labels.csv")
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="about how many sessions (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the plan and its values (default: %(default)s)")
    parser.add_argument("--pause-ms", type=float, default=50.0, help="mean think time (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.sessions < 1:
        parser.error("--sessions must be at least 1")
    console = Console(stderr=True)
    try:
        with Progress(console=console) as progress:
            made = record(options.out, options.sessions, options.seed, options.pause_ms / 1000, progress)
    except TocsinError as error:
        console.print(f"error: {error}", style="red", markup=False)
        return 1
    console.print(f"{made.version}: {made.lines} lines, {made.sessions} sessions, faulty {made.faulty}", markup=False)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
