"""Batch parsing beside the yardstick: header, time, session ids, masks and templates of a whole file, in batches.

The parser starts with an empty tree like the yardstick, and must come to the same grouping of lines.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

from models.source.config import Source
from models.splitter import Splitter
from models.template.tree import TemplateTree
from tests.bench import material, yardstick
from tests.bench.measure import Report, interleaved, rates, timed

SIZES = (1_000, 10_000)
TARGET = 6.0


def run(settings: material.Settings) -> Report:
    """Lines per second of both, and how many lines they group differently."""
    data = material.hdfs(settings)
    arrival = time.time()
    messages = Splitter(data.source).split(data.lines, arrival).message.to_list()
    found: dict[str, list[int]] = {}

    def measure() -> None:
        found[yardstick.NAME] = yardstick.mine(data.source, messages)

    processor: dict[str, list[float]] = {yardstick.NAME: []}
    contenders = {yardstick.NAME: timed(measure, processor[yardstick.NAME])}
    for size in SIZES:
        name = f"split and match, batches of {size:,}"

        def batches(name: str = name, size: int = size) -> None:
            found[name] = parse(data.source, data.lines, size, arrival)

        processor[name] = []
        contenders[name] = timed(batches, processor[name])
    seconds = interleaved(contenders, settings.repeats)
    names = list(contenders)[1:]
    rows = rates(seconds, len(data.lines), yardstick.NAME, dict.fromkeys(names, TARGET))
    busy = {name: statistics.median(taken) for name, taken in processor.items()}
    rows += [
        replace(row, name=f"{row.name}, a CPU second", unit="lines")
        for row in rates(busy, len(data.lines), yardstick.NAME, dict.fromkeys(names, TARGET))
    ]
    notes = [
        f"{name}: {differing(found[yardstick.NAME], found[name])} of {len(messages):,} lines are grouped otherwise "
        "than by the yardstick"
        for name in names
    ]
    return Report("Batch parse of the HDFS file", rows, notes)


def parse(source: Source, lines: Sequence[str], size: int, arrival: float) -> list[int]:
    """Template ids of the lines, mined in a fresh tree in batches of ``size`` lines."""
    splitter, tree = Splitter(source), TemplateTree(source.drain, "bench")
    ids: list[int] = []
    for begin in range(0, len(lines), size):
        records = splitter.split(lines[begin : begin + size], arrival)
        ids.extend(tree.assign(records.masked, distinct=records.distinct).ids.tolist())
    return ids


def differing(one: Sequence[int], other: Sequence[int]) -> int:
    """Lines whose group in one partition is not, line for line, a group of the other."""
    sizes, others, both = _counted(one), _counted(other), _counted(list(zip(one, other, strict=True)))
    return sum(count for (a, b), count in both.items() if not count == sizes[a] == others[b])


def _counted(groups: Sequence[object]) -> dict[object, int]:
    counts: dict[object, int] = {}
    for group in groups:
        counts[group] = counts.get(group, 0) + 1
    return counts
