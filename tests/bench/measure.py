"""Timing: contenders take turns, so that what disturbs the machine disturbs all of them; medians are compared."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of a report. ``ratio`` is to the yardstick of the same run, ``target`` what is aimed at, in words."""

    name: str
    value: float
    unit: str
    ratio: float | None = None
    target: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a benchmark found: its figures, and notes that belong beside them."""

    title: str
    rows: list[Row]
    notes: list[str] = field(default_factory=list)


def interleaved(contenders: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Median seconds of each contender over ``repeats`` rounds in which each has one turn and says how long it took."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            # What earlier turns and benchmarks left in this process is nobody's work: whoever makes many objects would
            # have the collector go through it.
            gc.collect()
            gc.freeze()
            seconds[name].append(run())
    gc.unfreeze()
    return {name: statistics.median(values) for name, values in seconds.items()}


def timed(work: Callable[[], object], processor: list[float] | None = None) -> Callable[[], float]:
    """``work`` as a contender: all of it is timed. What it took of the processors, all threads together, goes to
    ``processor``, seconds."""

    def run() -> float:
        began, busy = time.perf_counter(), time.process_time()
        work()
        if processor is not None:
            processor.append(time.process_time() - busy)
        return time.perf_counter() - began

    return run


def rates(seconds: Mapping[str, float], lines: int, yardstick: str, targets: Mapping[str, float]) -> list[Row]:
    """Lines per second of each contender beside the yardstick's; ``targets`` are ratios aimed at."""
    rows = []
    for name, taken in seconds.items():
        ratio = seconds[yardstick] / taken
        target = targets.get(name)
        rows.append(
            Row(
                name, lines / taken, "lines/s", ratio,
                "" if target is None else f"at least {target:g} x", None if target is None else ratio >= target,
            )
        )  # fmt: skip
    return rows
