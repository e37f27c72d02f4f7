"""``python -m tests.bench [NAME...]``: run benchmarks one after the other and print what they found.

A new benchmark is a module with ``run(settings) -> Report`` and a line in ``BENCHMARKS``.
"""

import os

# As the service does at its door: polars reads its thread count once, when it is first imported.
os.environ.setdefault("POLARS_MAX_THREADS", "1")

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from tests.bench import batches, cost, feedback, gpu, growth, ingest, latency, material, memory, offline, start
from tests.bench.measure import Report

BENCHMARKS: dict[str, Callable[[material.Settings], Report]] = {
    "parse": batches.run,
    "offline": offline.run,
    "ingest": ingest.run,
    "latency": latency.run,
    "cost": cost.run,
    "memory": memory.run,
    "growth": growth.run,
    "start": start.run,
    "feedback": feedback.run,
    "gpu": gpu.run,
}


def main() -> None:
    """Run what was asked for; exit code 0 whatever the figures are."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure speed and memory.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each contender; medians are shown")
    parser.add_argument("--lines", type=int, help="only so many lines of the log, for a quick look")
    parser.add_argument("--bundle", type=Path, help="HDFS bundle to serve, a folder SOURCE/VERSION; default: train one")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    settings = material.Settings(given.repeats, given.lines, given.bundle)
    console = Console()
    cores = material.stay_on_two_cores()
    results: dict[str, object] = {"cores": cores, "repeats": given.repeats}
    for name in given.names or BENCHMARKS:
        before = material.load()
        try:
            report = BENCHMARKS[name](settings)
        except material.Absent as error:
            console.print(f"{name}: skipped, {error}", markup=False)
            results[name] = {"skipped": str(error)}
            continue
        results[name] = {"load_before": before, **asdict(report)}
        show(report, f"{cores} cores, load {before:.2f} before, median of {given.repeats}", console)
    if given.json is not None:
        given.json.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))


def show(report: Report, circumstances: str, console: Console) -> None:
    """One benchmark's table."""
    table = Table(title=f"{report.title} ({circumstances})", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for column in ("figure", "to yardstick", "target"):
        table.add_column(column, justify="right")
    for row in report.rows:
        verdict = "" if row.met is None else " (met)" if row.met else " (missed)"
        value = f"{row.value:,.0f}" if row.value >= 100 else f"{row.value:.2f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f} x"
        table.add_row(row.name, f"{value} {row.unit}", ratio, row.target + verdict)
    console.print(table)
    for note in report.notes:
        console.print(f"  {note}", markup=False, highlight=False, soft_wrap=True)
    console.print()


if __name__ == "__main__":
    sys.exit(main())
