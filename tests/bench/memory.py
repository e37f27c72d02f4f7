"""What a live session costs in Redis: a million of them, as DeepLog and the count vector need them.

Sessions are those of ``hdfs_keys`` (their real lengths and mixes of keys), over and over under ids of 25 characters,
and appended as the service appends: tail of 10 keys, counts, and the index of idle times are all in the figure.
"""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from redis.asyncio import Redis

from models.sessions import Int64, Rows, SessionSettings
from service.state.connection import connect
from service.state.embedded import EmbeddedRedis
from service.state.windows import StoredSessions
from tests.bench import material
from tests.bench.measure import Report, Row
from training.keysets import read_sessions

SESSIONS = 1_000_000
MOST_BYTES = 300.0
BATCH_SESSIONS = 2_000
TAIL = 10
SOURCE = "bench"


def run(settings: material.Settings) -> Report:
    """Bytes a session of Redis' own count, and of resident memory."""
    path = material.root() / "hdfs_keys" / "train_normal.txt"
    if not path.is_file():
        raise material.Absent(f"there is no {path.name} under {path.parent} (set TOCSIN_DATASETS_DIR)")
    number = settings.lines or SESSIONS
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder, EmbeddedRedis(Path(folder)) as server:
        used, resident, seconds, events = asyncio.run(_fill(server.url, read_sessions(path), number))
    rows = [
        Row("Redis' own count, a session", used / number, "bytes", None, f"at most {MOST_BYTES:g}",
            used / number <= MOST_BYTES),
        Row("resident memory, a session", resident / number, "bytes"),
        Row("filled at", events / seconds, "events/s"),
    ]  # fmt: skip
    note = f"{number:,} live sessions of {events / number:.1f} events, tail {TAIL}, ids of 25 characters"
    return Report("Memory of live sessions in Redis", rows, [note])


async def _fill(url: str, sessions: list[Int64], number: int) -> tuple[int, int, float, int]:
    """Bytes used and resident that ``number`` sessions added, how long that took, and how many events they were."""
    redis = await connect(url)
    try:
        store = StoredSessions(redis)
        settings = SessionSettings(tail=TAIL, idle_s=1e9)
        before = await _memory(redis)
        began, events = time.perf_counter(), 0
        for rows in batches(sessions, number):
            await store.append(SOURCE, settings, rows)
            events += len(rows.key)
        seconds = time.perf_counter() - began
        live = await store.count_live(SOURCE)
        if live != number:
            raise RuntimeError(f"{live} sessions are live, {number} were appended")
        after = await _memory(redis)
        return after[0] - before[0], after[1] - before[1], seconds, events
    finally:
        await redis.aclose()


def batches(sessions: list[Int64], number: int, size: int = BATCH_SESSIONS) -> Iterator[Rows]:
    """Rows of ``number`` sessions, ``size`` whole ones a batch, in an order of time."""
    for begin in range(0, number, size):
        chosen = range(begin, min(begin + size, number))
        keys = [sessions[i % len(sessions)] for i in chosen]
        names = [f"blk_-{i:020d}" for i in chosen]
        key = np.concatenate(keys)
        time_s = begin + np.arange(len(key)) / len(key)
        yield Rows(
            [name for name, own in zip(names, keys, strict=True) for _ in range(len(own))],
            key, time_s, time_s, np.zeros(len(key), dtype=np.bool_),
        )  # fmt: skip


async def _memory(redis: Redis) -> tuple[int, int]:
    info = await redis.info("memory")
    return int(info["used_memory"]), int(info["used_memory_rss"])
