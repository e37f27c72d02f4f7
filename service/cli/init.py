"""``tocsin init``: look at a log that nobody has described, and write the source that would read it."""

import re
import time
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.errors import ConfigError
from models.proposal.preview import Preview
from models.proposal.proposal import Proposal, propose
from models.source.config import Source
from models.source.timestamp import check_timezone
from service.cli.excerpt import Excerpt, read_excerpt
from service.cli.show import harmless, print_json

SHOWN_CHARACTERS = 160
_DEFAULTS = ("drain", "lateness_s", "max_line_bytes")


def init(
    logs: Annotated[list[Path], typer.Argument(help="Log files in order, plain or gzip; - is standard input")],
    out: Annotated[Path | None, typer.Option(help="YAML file to write [default: NAME.yaml]")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the source [default: the first file's]")] = None,
    timezone: Annotated[
        str | None, typer.Option(help="Zone of timestamps that name none, e.g. Europe/Berlin [default: UTC]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the YAML file")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the proposal as JSON")] = False,
) -> None:
    """Look at a log and propose a source: format, timestamp, session rule and masks, with what they catch.

    Reads lines from the start, the middle and the end. The YAML file it writes is yours to change.
    """
    name = name or _name(logs[0])
    out = out or Path(f"{name}.yaml")
    if timezone is not None:
        check_timezone(timezone, "--timezone")
    if out.exists() and not force:
        raise ConfigError(f"{out} is there already; --force overwrites it, --out and --name choose another file")
    excerpt = read_excerpt(logs)
    found = propose(name, excerpt.lines, time.time(), timezone)
    try:
        out.write_text(_yaml(found, logs), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error}") from error
    # What was written is what a service will read.
    Source.load(out)
    steps = _next(found.source.name, out, logs)
    if json:
        print_json({**found.to_dict(), "file": str(out), "too_long": excerpt.too_long, "next": steps})
    else:
        _show(found, excerpt, out, steps, Console())


def _name(path: Path) -> str:
    """A source's name from a file's: without endings of logs and archives, and what no name may have."""
    stem = re.sub(r"(?:\.(?:gz|log|txt|json|jsonl|ndjson|[0-9]+))+$", "", path.name, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("-._")[:64] or "mylog"


def _yaml(found: Proposal, logs: list[Path]) -> str:
    """The source as a file for people: without what is as usual anyway."""
    plain = {key: value for key, value in found.source.to_dict().items() if key not in _DEFAULTS}
    session = found.source.session
    rule = {"pattern": session.pattern, "fields": list(session.fields), "window_s": session.window_s}
    if session.pattern is not None and session.over != "message":
        rule["over"] = session.over
    plain["session"] = {key: value for key, value in rule.items() if value} or {"whole": True}
    said = [f"Proposed by `tocsin init` from {', '.join(path.name for path in logs)}; yours to change.", ""]
    said += [f"{part}: {why}" for part, why in found.why.items()]
    said += [f"look at: {doubt}" for doubt in found.doubts]
    comment = "".join(f"# {harmless(line)}".rstrip() + "\n" for line in said)
    return comment + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=4_096)


def _next(name: str, out: Path, logs: list[Path]) -> list[str]:
    """The commands that come next."""
    files = " ".join(f"--logs {_quoted(path)}" for path in logs if str(path) != "-") or "--logs FILE"
    return [
        "tocsin serve",
        f"tocsin sources {_quoted(out)} --put",
        "tocsin learner",
        f"tocsin replay --url http://127.0.0.1:8000 --source {name} {files}",
    ]


def _quoted(path: Path) -> str:
    text = str(path)
    return text if re.fullmatch(r"[\w@%+=:,./-]+", text) else "'" + text.replace("'", "'\\''") + "'"


def _show(found: Proposal, excerpt: Excerpt, out: Path, steps: list[str], console: Console) -> None:
    def say(text: str, style: str = "") -> None:
        console.print(Text(harmless(text), style=style), soft_wrap=True)

    seen = found.preview
    say(f"{seen.lines:,} lines looked at" + ("" if excerpt.whole else ", from the start, the middle and the end"))
    for part, why in found.why.items():
        say(f"  {part}: {why}")
    for doubt in found.doubts:
        say(f"  look at: {doubt}", "yellow")
    if excerpt.too_long:
        say(f"  look at: {excerpt.too_long:,} lines are too long and were left out", "yellow")
    say("")
    say("The first records as they are read", "bold")
    for record in seen.read:
        say(f"  {_time(record['time'])}  session {', '.join(record['session'])}")
        if record["fields"]:
            say(f"    {_short(', '.join(f'{key}={value}' for key, value in record['fields'].items()))}", "dim")
        say(f"    {_short(record['masked'])}")
    _show_masks(seen, console)
    console.print(_templates(seen))
    if found.considered:
        console.print(_considered(found))
    say("")
    say(
        f"{seen.records:,} records, {seen.templates:,} templates, {seen.sessions:,} sessions of {seen.median:g} lines "
        f"(median; the longest {seen.longest:,}); {seen.unread:.1%} of the lines do not fit"
    )
    for rejection in seen.errors:
        say(f"  line {rejection.index + 1} of those looked at: {rejection.error}")
    say("")
    say(f"wrote {out}; next:", "bold")
    for step in steps:
        say(f"  {step}")


def _show_masks(seen: Preview, console: Console) -> None:
    table = _table("Masks", "mask", "caught", "for example")
    for one in seen.masks:
        examples = ", ".join(_short(harmless(text)) for text in one.examples)
        table.add_row(one.mask.name, f"{one.count:,}", Text(examples))
    console.print(table)


def _templates(seen: Preview) -> Table:
    table = _table("Templates, the most frequent", "count", "template")
    for text, count in seen.top:
        table.add_row(f"{count:,}", Text(_short(harmless(text))))
    return table


def _considered(found: Proposal) -> Table:
    table = _table("What could make a session, the best first", "score", "what", "why")
    for one in found.considered:
        table.add_row(f"{one.score:.2f}", Text(harmless(one.shown)), Text(one.why))
    return table


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=f"\n{title}", title_justify="left", title_style="bold", box=None, pad_edge=False)


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def _short(text: Any) -> str:
    shown = str(text)
    return shown if len(shown) <= SHOWN_CHARACTERS else f"{shown[:SHOWN_CHARACTERS]}..."
