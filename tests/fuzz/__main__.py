"""``python -m tests.fuzz [NAME...] --seconds N``: let libFuzzer (atheris) think up bytes for each target, and print how
many it tried and what broke.

Each target runs in a process of its own. What breaks one is written to ``--found``, one file an input, and becomes one
of its seeds with its mending. Exit code 1 where anything broke. Needs the extra ``fuzz``.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from tests.fuzz.targets import targets

NICENESS = 19
LONGEST_INPUT = 4096
WORDS = (
    '"source"', '"lines"', '"records"', '"line"', '"session"', '"timestamp"', '"fields"', '"end"', '"resourceLogs"',
    '"resource"', '"scopeLogs"', '"logRecords"', '"attributes"', '"key"', '"value"', '"stringValue"', '"intValue"',
    '"kvlistValue"', '"arrayValue"', '"values"', '"timeUnixNano"', '"body"', '"streams"', '"stream"', '"create"',
    '"index"', '"_index"', '"message"', '"@timestamp"', "true", "null", "[]", "{}", "1e308", "-0", "\\ud800",
    "2026-01-01T00:00:00Z", "0001-01-01", "9999-12-31T23:59:59.999999999+23:59", "253402300800", "Oct 11 22:14:15",
    "<191>", "1 - - - - - ", "[a b=", '\\"', "\x00", "\x1f\x8b", "\x85", "\u2028", "\u0660", "\ufeff", "\r",
)  # fmt: skip
"""What mutations are put together from, beside single bytes."""
UNIT_TIMEOUT_S = 30
"""An input that takes longer is a finding too."""
MEMORY_MB = 2048
GRACE_S = 60
_DONE = re.compile(r"Done (\d+) runs in (\d+) second")
_PROGRESS = re.compile(r"^#(\d+)\s", re.MULTILINE)


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz everything that decodes.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(targets())}; default: all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--found", type=Path, default=Path("build/fuzz"), help="folder of inputs that broke something")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(targets()))
    if unknown:
        parser.error(f"no target {unknown[0]!r}; there are {', '.join(targets())}")
    if find_spec("atheris") is None:
        parser.error("atheris is not installed: pip install 'tocsin[fuzz]' (Linux on x86-64)")
    given.found.mkdir(parents=True, exist_ok=True)
    os.nice(NICENESS)
    load = os.getloadavg()[0]
    table = Table("target", "inputs", "seconds", "inputs/s", "broke it")
    broken = total = 0
    for name in given.names or targets():
        inputs, taken_s, found = _run(name, given.seconds, given.found.resolve())
        table.add_row(name, f"{inputs:,}", f"{taken_s:.0f}", f"{inputs / max(taken_s, 1e-9):,.0f}", ", ".join(found))
        print(f"{name}: {inputs:,} inputs, {len(found)} broke it", flush=True)
        broken, total = broken + len(found), total + inputs
    console = Console()
    console.print(table)
    console.print(f"{total:,} inputs, {broken} broke something; load {load:.1f} before, {os.getloadavg()[0]:.1f} after")
    return 1 if broken else 0


def _run(name: str, seconds: int, folder: Path) -> tuple[int, float, list[str]]:
    """Inputs tried, seconds taken, and names of files with what broke it."""
    before = set(folder.iterdir())
    with TemporaryDirectory() as scratch:
        corpus, words = Path(scratch) / "corpus", Path(scratch) / "words"
        corpus.mkdir()
        words.write_text("".join(f'"{_escaped(word.encode())}"\n' for word in WORDS))
        for number, seed in enumerate(targets()[name].seeds):
            (corpus / f"seed{number}").write_bytes(seed)
        command = [
            sys.executable, "-m", "tests.fuzz.child", name, str(corpus), f"-dict={words}", f"-max_total_time={seconds}",
            f"-artifact_prefix={folder}/{name}-", f"-max_len={LONGEST_INPUT}", f"-timeout={UNIT_TIMEOUT_S}",
            f"-rss_limit_mb={MEMORY_MB}", "-print_final_stats=1",
        ]  # fmt: skip
        begun = time.monotonic()
        log = folder / f"{name}.log"
        with log.open("wb") as output:
            done = subprocess.run(
                command, stdout=output, stderr=output, timeout=seconds + UNIT_TIMEOUT_S + GRACE_S, check=False
            )
        taken_s = time.monotonic() - begun
    told = log.read_text(errors="replace")
    found = sorted(path.name for path in set(folder.iterdir()) - before if path.suffix != ".log")
    if done.returncode and not found:
        found = [f"ended with {done.returncode}, see {log.name}"]
    if ended := _DONE.search(told):
        return int(ended[1]), float(ended[2]), found
    return max(map(int, _PROGRESS.findall(told)), default=0), taken_s, found


def _escaped(word: bytes) -> str:
    """As libFuzzer's dictionaries have it."""
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    sys.exit(main())
