"""What a line costs as work grows: with more lines behind it, more live sessions, more templates, larger batches.

Each row is microseconds a line of one step inside one process, and beside it the ratio to the smallest size: flat is
1.0. Lines and batches are parsed (split and match); sessions are appended to Redis; templates are matched.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from models.sessions import SessionSettings
from models.source.config import Source
from models.template.tree import TemplateTree
from service.state.connection import connect
from service.state.embedded import EmbeddedRedis
from service.state.windows import StoredSessions
from tests.bench import material
from tests.bench.batches import parse
from tests.bench.measure import Report, Row, interleaved
from tests.bench.memory import SOURCE, TAIL, batches
from training.keysets import read_sessions

LINES = (10_000, 50_000, 150_000)
BATCHES = (1, 10, 100, 1_000, 10_000)
SESSIONS = (1_000, 10_000, 100_000, 1_000_000)
TEMPLATES = (30, 1_000, 5_000, 20_000)
FLAT = 1.5
"""Up to this ratio to the smallest, a cost counts as flat: caches and noise are in it."""
MICROSECONDS = 1e6
MATCHED = 20_000
PROBES = 200
"""Batches of each size, fewer of the largest."""
MOST_LINES = 50_000
WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet")


def run(settings: material.Settings) -> Report:
    """Microseconds a line at each size."""
    data = material.hdfs(settings)
    arrival = time.time()
    lines = {
        f"parse, {n:,} lines in batches of 1,000": _per_line(
            n, lambda n=n: parse(data.source, data.lines[:n], 1_000, arrival)  # type: ignore[misc]
        )
        for n in LINES
        if n <= len(data.lines)
    }  # fmt: skip
    sized = {}
    for size in BATCHES:
        own = data.lines[: min(size * PROBES, MOST_LINES)]
        sized[f"parse, batches of {size:,}"] = _per_line(
            len(own), lambda own=own, size=size: parse(data.source, own, size, arrival)  # type: ignore[misc]
        )  # fmt: skip
    matched = {f"match, {n:,} templates": _matching(n) for n in TEMPLATES}
    rows = _rows(lines, settings.repeats, flat=True)
    rows += _rows(sized, settings.repeats, flat=False)
    rows += _rows(matched, settings.repeats, flat=True)
    path = material.root() / "hdfs_keys" / "train_normal.txt"
    if path.is_file():
        rows += _sessions(path)
    return Report("Cost as work grows", rows, [f"flat: at most {FLAT:g} times the cost at the smallest size"])


def _per_line(count: int, work: Callable[[], object]) -> Callable[[], float]:
    def turn() -> float:
        began = time.perf_counter()
        work()
        return MICROSECONDS * (time.perf_counter() - began) / count

    return turn


def _rows(contenders: Mapping[str, Callable[[], float]], repeats: int, *, flat: bool) -> list[Row]:
    return _beside_smallest(interleaved(contenders, repeats), flat=flat)


def _beside_smallest(cost: Mapping[str, float], *, flat: bool) -> list[Row]:
    smallest = next(iter(cost.values()))
    rows = []
    for name, value in cost.items():
        ratio = value / smallest
        target = f"at most {FLAT:g} x" if flat else "no more than the smaller"
        met = ratio <= FLAT if flat else ratio <= 1.0
        rows.append(Row(name, value, "us/line", ratio, target, met))
    return rows


def _matching(number: int) -> Callable[[], float]:
    """Matching lines of ``number`` templates that are all known; no two lines are equal, so each is looked for."""
    tree = TemplateTree(Source.load("hdfs").drain, "bench")
    chance = np.random.default_rng(0)
    heads = [
        " ".join(f"{word}{_letters(n)}" for word in chance.choice(WORDS, size=4 + n % 5, replace=False))
        for n in range(number)
    ]
    for begin in range(0, number, 500):
        for seen in ("one", "two"):  # the last word becomes a parameter
            tree.assign(pl.Series([f"{head} {seen}" for head in heads[begin : begin + 500]]))
    messages = pl.Series([f"{heads[at]} v{i}" for i, at in enumerate(chance.integers(0, number, size=MATCHED))])
    if (tree.match(messages[:1_000]) < 0).any():
        raise RuntimeError("a line of a known template was not matched")
    return _per_line(MATCHED, lambda: [tree.match(messages[at : at + 1_000]) for at in range(0, MATCHED, 1_000)])


def _letters(n: int) -> str:
    """A word for a number: Drain takes words with digits for parameters."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(n))


def _sessions(path: Path) -> list[Row]:
    """Appending to sessions that are live, beside so many others."""
    cost: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder, EmbeddedRedis(Path(folder)) as server:
        asyncio.run(_append(server.url, path, cost))
    return _beside_smallest(cost, flat=True)


async def _append(url: str, path: Path, cost: dict[str, float]) -> None:
    redis = await connect(url)
    try:
        store, settings = StoredSessions(redis), SessionSettings(tail=TAIL, idle_s=1e9)
        sessions = read_sessions(path)
        done = 0
        everything = batches(sessions, SESSIONS[-1])
        for number in SESSIONS:
            while done < number:
                rows = next(everything)
                await store.append(SOURCE, settings, rows)
                done += len(set(rows.session))
            taken = []
            for rows in batches(sessions, 1_000, 50):
                began = time.perf_counter()
                await store.append(SOURCE, settings, rows)
                taken.append(MICROSECONDS * (time.perf_counter() - began) / len(rows.key))
            cost[f"append, {number:,} live sessions"] = float(np.median(taken))
    finally:
        await redis.aclose()
