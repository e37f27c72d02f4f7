"""Measure every section that is not kept yet, and write the results page.

    python -m training.results --out docs/results.md --seeds 5 --jobs 2

Each section is kept as JSON when it is made, so that an interrupted run goes on where it stopped. Sections named by
--only are made again; the page then holds these and all that are kept.
"""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import orjson

from models.errors import TocsinError
from training.bar import epoch_bar
from training.results import answers, keys, lines, streams, values
from training.results.page import write_page
from training.results.section import Asked, Record, Section, read_record, versions, write_record

SECTIONS = (*keys.SECTIONS, *streams.SECTIONS, *answers.SECTIONS, *lines.SECTIONS, *values.SECTIONS)
"""In the order of the page."""


def main(arguments: Sequence[str] | None = None, sections: Sequence[Section] = SECTIONS) -> int:
    """Write the page. Exit code 2 where a section cannot be made (the others are) or nothing is there to show."""
    names = [section.name for section in sections]
    parser = argparse.ArgumentParser(
        prog="python -m training.results", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    root = Path(os.environ.get("TOCSIN_DATASETS_DIR", "~/.cache/tocsin/datasets")).expanduser()
    parser.add_argument("--out", type=Path, default=Path("docs/results.md"), help="the page")
    parser.add_argument("--data", type=Path, default=root, help="the folder of data sets")
    parser.add_argument("--only", help=f"make these again, comma-separated: {', '.join(names)}")
    parser.add_argument("--fresh", action="store_true", help="make every section again")
    parser.add_argument("--seeds", type=int, default=5, help="of detectors with randomness, on key sequences")
    parser.add_argument("--slow-seeds", type=int, default=5, help="of those whose fit takes minutes")
    parser.add_argument("--jobs", type=int, default=2, help="fits at a time; no more than free cores")
    parser.add_argument("--cache", type=Path, default=Path("data/results"), help="where made sections are kept")
    parser.add_argument("--json", action="store_true", help="print every section as JSON")
    chosen = parser.parse_args(arguments)
    only = [name.strip() for name in chosen.only.split(",")] if chosen.only else []
    unknown = sorted(set(only) - set(names))
    if unknown or chosen.seeds < 1 or chosen.jobs < 1:
        parser.error(f"no section {unknown[0]!r}; there are {', '.join(names)}" if unknown else "at least one, please")
    made: list[tuple[Section, Record]] = []
    failed = False
    for section in sections:
        try:
            with epoch_bar(chosen.json) as progress:
                asked = Asked(chosen.data, chosen.seeds, chosen.slow_seeds, chosen.jobs, progress)
                record = _record(section, asked, chosen.cache, only, chosen.fresh)
        except TocsinError as error:
            print(f"{section.name}: {error}", file=sys.stderr)
            failed = True
            continue
        if record is not None:
            made.append((section, record))
    if not made:
        return 2
    try:
        write_page(chosen.out, made, _command(chosen))
    except TocsinError as error:
        print(error, file=sys.stderr)
        return 2
    if chosen.json:
        sections_made = [asdict(record) for _, record in made]
        sys.stdout.write(orjson.dumps(sections_made, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())
    return 2 if failed else 0


def _record(section: Section, asked: Asked, cache: Path, only: Sequence[str], fresh: bool) -> Record | None:
    """The section as kept, or made now. None where it is neither kept nor asked for."""
    kept = read_record(cache, section.name)
    given = section.given(asked)
    if only and section.name not in only:
        return kept
    if kept is not None and kept.given == given and not only and not fresh:
        return kept
    print(f"{section.name}: measuring", file=sys.stderr)
    began = time.perf_counter()
    result = section.make(asked)
    record = Record(
        section=section.name,
        command=section.commands(asked),
        given=given,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        took_s=time.perf_counter() - began,
        cores=os.cpu_count() or 1,
        versions=versions(),
        result=result,
    )
    write_record(cache, record)
    return record


def _command(chosen: argparse.Namespace) -> str:
    """The command that makes the whole page, without a path of this machine."""
    out = chosen.out if not chosen.out.is_absolute() else Path(chosen.out.name)
    seeds = f"--seeds {chosen.seeds} --slow-seeds {chosen.slow_seeds}"
    return f"python -m training.results --out {shlex.quote(str(out))} {seeds} --jobs {chosen.jobs}"


if __name__ == "__main__":
    sys.exit(main())
