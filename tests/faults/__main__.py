"""``python -m tests.faults [NAME...]``: replay a log through two replicas under one fault after the other, and print
what each came to; ``python -m tests.faults soak`` and ``overload`` load one service for longer.

A new fault is a function in ``faults`` and a line in ``FAULTS``. Exit code 1 where an effect was lost, doubled or
changed.
"""

import os

# As the service does at its door: polars reads its thread count once, when it is first imported.
os.environ.setdefault("POLARS_MAX_THREADS", "1")

import argparse
import asyncio
import inspect
import signal
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from tests.faults import house, load, outcome
from tests.faults.faults import FAULTS, Fault
from tests.faults.house import Material, Run

LOADS = {"soak": load.soak, "overload": load.overload}


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description="Break things and compare.", epilog=_told(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="NAME", help="of those below; default: all faults")
    parser.add_argument(
        "--log", type=Path, help="log to replay; default: the recorded sample, faults only the later part of it"
    )
    parser.add_argument("--source", default="hdfs", help="source of --log")
    parser.add_argument("--bundles", type=Path, help="folder of bundles that holds one of the source")
    parser.add_argument("--lines", type=int, help="only so many lines of the log")
    parser.add_argument("--batch-lines", type=int, default=200, help="lines of one request")
    parser.add_argument(
        "--connections", type=int, default=house.CONNECTIONS, help="of the client; 1 where a log needs one order"
    )
    parser.add_argument("--later", action="store_true", help="send with wait=false and ask for the verdicts afterwards")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long soak takes")
    parser.add_argument("--share", type=float, default=0.7, help="share of the measured capacity that soak offers")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - {*FAULTS, *LOADS})
    if unknown:
        parser.error(f"no fault {unknown[0]!r}; there are {', '.join((*FAULTS, *LOADS))}")
    if (given.log is None) != (given.bundles is None):
        parser.error("--log and --bundles go together")
    if given.log is None:
        material = house.sample(batch_lines=given.batch_lines)
        # Mostly ordinary lines, as in a running system: the faults of the sample are in its later part.
        loaded = house.sample(slice(None))
    else:
        material = loaded = house.given(given.source, given.log, given.bundles, given.batch_lines, given.lines)
    material = replace(material, connections=given.connections)
    # So that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    console = Console()
    names = given.names or list(FAULTS)
    results: dict[str, object] = {"lines": len(material.lines), "source": material.source.name, "later": given.later}
    failed = False
    faults = [name for name in names if name in FAULTS]
    if faults:
        failed = asyncio.run(_faults(faults, material, given.later, console, results))
    for name in names:
        if name in LOADS:
            results[name] = asyncio.run(LOADS[name](loaded, given.minutes, given.share, console))
    if given.json is not None:
        given.json.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))
    return int(failed)


def _told() -> str:
    """What each name stands for."""
    loads = {name: inspect.cleandoc(load.__doc__ or "") for name, load in LOADS.items()}
    told = {**{name: fault.says for name, fault in FAULTS.items()}, **loads}
    wide = max(map(len, told))
    pieces = [
        textwrap.fill(f"{name:{wide}}  {says}", 100, initial_indent="  ", subsequent_indent=" " * (wide + 4))
        for name, says in told.items()
    ]
    return "\n".join(["names:", *pieces])


async def _faults(
    names: list[str], material: Material, later: bool, console: Console, results: dict[str, object]
) -> bool:
    """Each fault beside a run that nothing disturbed; whether any left a trace."""
    reference = await run(material, None, later)
    table = Table(title=f"{len(material.lines):,} lines through two replicas", title_justify="left", box=None)
    table.add_column("fault")
    for column in ("run s", "longest without an answer s", "answers again after s", "attempts that failed", "differs"):
        table.add_column(column, justify="right")
    table.add_row("none", f"{reference.seconds:.1f}", f"{reference.stalled_s:.1f}", "", "", "")
    failed = False
    for name in names:
        fault = FAULTS[name]
        if fault.clocked and house.faketime() is None:
            console.print(f"{name}: skipped, libfaketime is not installed (Debian: faketime)")
            continue
        found = await run(material, fault, later)
        differs = outcome.differences(reference.outcome, found.outcome)
        failed = failed or bool(differs)
        met = ", ".join(f"{count} {what}" for what, count in sorted(found.sent.failures.items()))
        healed = "" if found.healed_s is None else f"{found.healed_s:.1f}"
        table.add_row(
            fault.says, f"{found.seconds:.1f}", f"{found.stalled_s:.1f}", healed, met, "no" if not differs else "YES"
        )
        results[name] = {
            "seconds": found.seconds, "stalled_s": found.stalled_s, "healed_s": found.healed_s,
            "failures": dict(found.sent.failures), "differences": differs,
        }  # fmt: skip
        told = (
            f"{name}: {found.seconds:.1f} s, {found.stalled_s:.1f} s without an answer, answers again after {healed} s"
        )
        console.print(told, highlight=False, soft_wrap=True)
        for difference in differs:
            console.print(f"{name}: {difference}", markup=False, highlight=False, soft_wrap=True)
    console.print(table)
    return failed


async def run(material: Material, fault: Fault | None, later: bool = False) -> Run:
    """One replay in a house of its own."""
    how = {} if fault is None else {"proxied": fault.proxied, "fsync": fault.fsync, "clocked": fault.clocked}
    async with house.house(material, **how) as running:
        return await house.replay(running, material, None if fault is None else fault.disturb, later=later)


if __name__ == "__main__":
    sys.exit(main())
