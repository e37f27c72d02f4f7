"""A header made of parts that can be told by their look: timestamp, level, thread, component, process, message.

Owns the parts and the order in which they are tried: from the left, one after the other, for as long as nearly every
line goes on with the same one. What is left is the message. Does not know which of them makes a session.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.proposal.stamps import STAMPS, Read, Stamp, reading

FITS = 0.95
"""Share of the lines that must go on with a part for it to be one."""
STAMPED = 0.3
"""Share of the lines that must have a timestamp near their start; the others may carry records on."""
LOOKED_AT = 2_000
"""Lines that are looked at, evenly drawn."""
LENGTH = 2_000
"""Characters of a line that are looked at."""
NEAR = 60
"""Characters from the start of a line within which its timestamp begins."""
MOST_PARTS = 10

LEVELS = frozenset(
    (
        *("trace", "debug", "dbug", "dbg", "verbose", "info", "information", "inf", "notice", "warn", "warning", "wrn"),
        *("error", "err", "eror", "fatal", "ftl", "crit", "critical", "alert", "emerg", "severe", "panic", "fail"),
        *("fine", "finer", "finest", "config"),
    )
)
_LEVEL = rf"(?:{'|'.join(sorted(LEVELS, key=len, reverse=True))})"
_SEPARATORS = (" +--- +", " +- +", r" +\| +", r"\|", " *: +", ":", ", *", " +", "\t+", "")
_CARRIES_ON = re.compile(
    r"\s|[)}\]]|(?:at|Caused by|Traceback|During handling|The above exception|Suppressed|\.\.\.|---)\b"
)


@dataclass(frozen=True, slots=True)
class Layout:
    """A header's pattern, what marks the first line of a record (None where each line is one), and how its timestamp
    reads (None where it has none)."""

    pattern: str
    starts_with: str | None
    stamp: Read | None


@dataclass(frozen=True, slots=True)
class _Part:
    """``found`` finds it in Python, ``pattern`` is what the source gets; ``name`` is its group's."""

    found: re.Pattern[str]
    pattern: str
    name: str | None = None


def find_layout(lines: Sequence[str], timezone: str | None, arrival: float) -> Layout | None:
    """The header of ``lines``; None where they have no part that can be told."""
    every = [line[:LENGTH] for line in lines if line.strip()]
    looked = every[:: max(1, len(every) // LOOKED_AT)]
    stamp = _stamp(looked)
    own = looked if stamp is None else [line for line in looked if _near(stamp).match(line)]
    pattern, named, at = "^", set[str](), None
    rest = own
    for _ in range(MOST_PARTS):
        part = next((part for part in _parts(stamp, named, rest) if _goes_on(part, rest, stamp, named)), None)
        if part is None:
            break
        pattern += part.pattern
        rest = [line[found.end() :] for line in rest if (found := part.found.match(line))]
        named.add(part.name or "")
        if part.name == "timestamp":
            at = pattern
        separator = next(one for one in _SEPARATORS if _share(re.compile(one), rest) >= FITS)
        pattern += " *: *" if separator == " *: +" else separator
        rest = [line[found.end() :] for line in rest if (found := re.match(separator, line))]
    if pattern == "^":
        return None
    whole = re.compile(pattern)
    texts = [found["timestamp"] for line in own if at and (found := whole.match(line))]
    read = reading(texts, stamp, timezone, arrival) if stamp is not None and at is not None else None
    if at is not None and read is None:
        return None
    starts_with = None
    if at is not None:
        more = [line for line in every if re.match(at, line) is None]
        carrying = sum(_CARRIES_ON.match(line) is not None for line in more)
        starts_with = re.sub(r"\(\?P<\w+>", "(?:", at) if more and 2 * carrying >= len(more) else None
    return Layout(f"{pattern}(?P<message>.*)$", starts_with, read)


def _stamp(lines: Sequence[str]) -> Stamp | None:
    """The look that most lines have near their start."""
    best: tuple[float, Stamp] | None = None
    for stamp in STAMPS:
        share = _share(_near(stamp), lines)
        if share >= STAMPED and (best is None or share > best[0]):
            best = share, stamp
    return None if best is None else best[1]


def _near(stamp: Stamp) -> re.Pattern[str]:
    return re.compile(rf".{{0,{NEAR}}}?(?:^|[^0-9A-Za-z._]|[A-Z](?=[0-9]{{4}} )){stamp.pattern}")


def _parts(stamp: Stamp | None, named: set[str], rest: Sequence[str]) -> Iterator[_Part]:
    """Parts that may come next, the surest first."""
    free = [name for name in ("pid", "thread", "number") if name not in named]
    if stamp is not None and "timestamp" not in named:
        for before, after in (("", ""), (r"\[", r"\]"), (r"\(", r"\)")):
            yield _part(before, stamp.pattern, after, "timestamp")
    if not named and stamp is not None:
        yield _part("<", "[0-9]{1,3}", ">", "priority")
    if "level" not in named:
        for before, after in (("", r"(?![\w.])"), (r"\[ *", r" *\]"), ("<", ">")):
            yield _level(before, after, rest)
        # klog puts the first letter of the level before the timestamp.
        if stamp is not None and "timestamp" not in named:
            yield _Part(re.compile(r"[IWEFD](?=[0-9]{4} )"), "(?P<level>[A-Z])", "level")
    if "stream" not in named:
        yield _Part(re.compile(r"(?:stdout|stderr) [FP](?= )"), "(?P<stream>stdout|stderr) [FP]", "stream")
    yield from _bracketed(named, rest)
    if "component" not in named:
        yield _Part(
            re.compile(r"[A-Za-z_$][^\s:\[\]]*(?:\[[0-9]+\])?(?=: |:$)"),
            r"(?P<component>[!-9;-Z\\^-~]+)" + ("" if "pid" in named else r"(?:\[(?P<pid>[0-9]+)\])?"),
            "component",
        )
        yield _Part(re.compile(r"[^\s\[\]]+:[0-9]+\]"), r"(?P<component>[!-Z\\^-~]+:[0-9]+)\]", "component")
        yield _Part(re.compile(r"[A-Za-z_$][^\s\[\]|]*(?= +(?:-|:|\|) )"), r"(?P<component>[!-Z\\^-{}~]+)", "component")
    if free:
        yield _Part(re.compile(r"[0-9]+(?= )"), f"(?P<{free[0]}>[0-9]+)", free[0])
    if "id" not in named:
        token = r"[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{8,}"
        yield _Part(re.compile(rf"(?:{token})(?= )"), "(?P<id>[0-9a-fA-F-]+)", "id")
    if "host" not in named:
        yield _Part(re.compile(r"[^\s\[\]:|]+(?= )"), "(?P<host>[!-~]+)", "host")


def _bracketed(named: set[str], rest: Sequence[str]) -> Iterator[_Part]:
    """``[...]``, also with brackets in it, by what it holds."""
    # A closing bracket within goes on with no blank and no other bracket.
    inside = r"[^\]]*(?:\](?:[^\]\[ :,\-]|:[^ ])[^\]]*)*"
    found = re.compile(rf"\[({inside})\]")
    held = [match[1] for line in rest[:200] if (match := found.match(line))]
    if not held:
        return
    digits = sum(text.isdecimal() for text in held) >= FITS * len(held)
    ids = sum(re.search(r"req|trace|[0-9a-f]{8}", text) is not None for text in held) >= FITS * len(held)
    names = ("pid", "thread") if digits else ("request", "context") if ids else ("thread", "context")
    name = next((name for name in names if name not in named), None)
    if name is not None:
        yield _Part(found, rf"\[(?P<{name}>{inside})\]", name)


def _goes_on(part: _Part, rest: Sequence[str], stamp: Stamp | None, named: set[str]) -> bool:
    """Whether nearly every line goes on with the part; a bare word is one only before another part that is sure."""
    if _share(part.found, rest) < FITS:
        return False
    if part.name not in ("host", "number", "pid", "id"):
        return True
    after = [line[found.end() :].lstrip(" |") for line in rest if (found := part.found.match(line))]
    if part.name != "host":
        return _share(re.compile(r"\S"), after) >= FITS
    others = {*named, "host"}
    sure = (one for one in _parts(stamp, others, after) if one.name in ("timestamp", "level", "component", "thread"))
    words = [found[0] for line in rest if (found := part.found.match(line))]
    return len(set(words)) <= max(1, len(words) // 10) and any(_share(one.found, after) >= FITS for one in sure)


def _part(before: str, pattern: str, after: str, name: str) -> _Part:
    return _Part(re.compile(f"{before}{pattern}{after}"), f"{before}(?P<{name}>{pattern}){after}", name)


def _level(before: str, after: str, rest: Sequence[str]) -> _Part:
    found = re.compile(f"{before}({_LEVEL}){after}", re.IGNORECASE)
    words = [match[1] for line in rest if (match := found.match(line))]
    letters = "[A-Z]+" if all(map(str.isupper, words)) else "[a-z]+" if all(map(str.islower, words)) else "[A-Za-z]+"
    shown = after if after in (r" *\]", ">") else ""
    return _Part(found, f"{before}(?P<level>{letters}){shown}", "level")


def _share(pattern: re.Pattern[str], lines: Sequence[str]) -> float:
    return sum(pattern.match(line) is not None for line in lines) / len(lines) if lines else 0.0
