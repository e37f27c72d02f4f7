"""Session rules that a log could have, scored by how its lines would fall into sessions.

Owns candidates, the score and its reasons. A good id is in nearly every line, comes back over several lines, and is one
of many. Does not know when a session ends.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from models.record import Records
from models.source.config import SessionRule
from models.source.session import SessionFinder

COVERED = 0.9
"""Share of the records that must name a session: a record that names none is rejected."""
ENOUGH = 0.35
"""Score from which on a candidate is proposed."""
ENTITY = 0.2
"""Score from which on a machine, process or client is, where no run has an id."""
MANY = 64
"""Sessions from which on more of them are no better."""
FEWEST = 5
MOST_PATTERNS = 12
WINDOW_RECORDS = 40
"""Records that a window should hold where there are no ids."""
WINDOWS_S = (10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0)

_RUN = re.compile(
    r"(?:^|[._-])(?:\w*(?:request|req|trace|span|session|sess|conn|connection|txn|tx|transaction|job|task|order|"
    r"correlation|batch|flow|run|block|blk|instance|attempt|execution|operation|query)(?:[._-]?(?:id|no|number|uuid))?|"
    r"x?id|uuid|\w*(?:_id|id))$",
    re.IGNORECASE,
)
_ENTITY = re.compile(
    r"(?:^|[._])(?:pid|process|thread|client|user|host|hostname|node|pod|container|ip|peer|device)", re.I
)
_NEVER = re.compile(
    r"(?:^|[._])(?:level|severity|lvl|levelname|logger|component|module|caller|status|code|method|path|url|uri|file|"
    r"line|lineno|function|func|size|bytes|duration|elapsed|latency|ms|count|version|priority|stream|label|date|clock|"
    r"location|type|agent|referer|request_time|time|ts|timestamp)$",
    re.IGNORECASE,
)
_PREFIXED = re.compile(r"\b([A-Za-z][A-Za-z]{1,19}[_#-])(-?[0-9]{3,}|[0-9a-f]{8,})\b")
_KEYED = re.compile(r"\b([A-Za-z][A-Za-z_.]{1,29}) ?([=:#]) ?\"?([A-Za-z0-9_.-]{2,64})")
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule and what it would do: the share of records that it ``covered``, how many ``sessions`` it found, the
    ``median`` number of lines of one, its ``score`` from 0 to 1, and ``why`` it is not better."""

    rule: SessionRule
    shown: str
    covered: float
    sessions: int
    median: float
    score: float
    why: str


def candidates(records: Records, names: Sequence[str]) -> list[Candidate]:
    """Every rule that comes into question, the best first. ``names``: the fields that may name a session."""
    rules = [(SessionRule(fields=(name,)), f"field {name}", _weight(name)) for name in names if not _NEVER.search(name)]
    both = [name for name in ("host", "pid") if name in names]
    if len(both) == 2:
        rules.append((SessionRule(fields=tuple(both)), "fields host, pid", _weight("pid")))
    rules += [(SessionRule(pattern=pattern), shown, weight) for pattern, shown, weight in _patterns(records.message)]
    judged = [_judge(rule, shown, weight, records) for rule, shown, weight in rules]
    return sorted((one for one in judged if one.sessions), key=lambda one: (-one.score, one.shown))


def choose(found: Sequence[Candidate], records: Records, dated: bool) -> tuple[SessionRule, str]:
    """The rule to propose, and why. ``dated``: whether the records have times of their own."""
    good = [one for one in found if one.covered >= COVERED]
    if good and good[0].score >= ENOUGH:
        return good[0].rule, f"{good[0].shown}: {good[0].why}"
    entity = next((one for one in good if one.rule.fields and one.score >= ENTITY and _entity(one.rule)), None)
    if entity is not None:
        return entity.rule, f"no id of a run in the lines; what one {entity.shown.split()[-1]} says is a session"
    window_s = _window_s(records, dated)
    return SessionRule(window_s=window_s), (
        f"nothing in the lines names a run in {COVERED:.0%} of them: windows of {window_s:g} s"
        + ("" if dated else " of arrival time")
    )


def prefix_of(rule: SessionRule) -> str | None:
    """The word before the ids of a rule by pattern, such as ``blk`` of ``blk_-?[0-9]+``; None where there is none."""
    found = re.match(r"\\b([A-Za-z]{2,20})[_#-]", rule.pattern or "")
    return None if found is None else found[1]


def _patterns(messages: pl.Series) -> Iterable[tuple[str, str, float]]:
    """Ids in messages: words with a number, ``key=value``, UUIDs."""
    prefixes, shapes = Counter[str](), dict[str, set[str]]()
    keyed, joined = Counter[str](), dict[str, Counter[str]]()
    texts = messages.to_list()
    for text in texts:
        text = text[:2_000]
        for found in {match.groups() for match in _PREFIXED.finditer(text)}:
            prefixes[found[0]] += 1
            shapes.setdefault(found[0], set()).add("n" if re.fullmatch("-?[0-9]+", found[1]) else "h")
        for key, sign, value in {match.groups() for match in _KEYED.finditer(text)}:
            if any(char.isdigit() for char in value) and not _NEVER.search(key):
                keyed[key] += 1
                joined.setdefault(key, Counter())[sign] += 1
    for prefix, _ in prefixes.most_common(MOST_PATTERNS):
        digits = "-?[0-9]+" if shapes[prefix] == {"n"} else "[0-9a-f]+"
        yield rf"\b{re.escape(prefix) if prefix[-1] == '#' else prefix}{digits}", f"ids {prefix}...", 0.95
    for key, _ in keyed.most_common(MOST_PATTERNS):
        sign = joined[key].most_common(1)[0][0]
        pattern = rf'\b{key.replace(".", "[.]")} ?{sign} ?"?([A-Za-z0-9_.-]+)'
        yield pattern, f"values of {key}{sign}", 0.9 * _weight(key)
    if any(re.search(_UUID, text) for text in texts[:: max(1, len(texts) // 500)]):
        yield rf"\b{_UUID}\b", "UUIDs", 0.9


def _judge(rule: SessionRule, shown: str, weight: float, records: Records) -> Candidate:
    found = SessionFinder(rule).find(records.message, records.fields, records.time, None)
    named = found.session.is_not_null()
    total = len(records)
    covered = len(np.unique(found.record[named.to_numpy()])) / total if total else 0.0
    sizes = found.session.filter(named).value_counts()["count"].to_numpy().astype(np.float64)
    if not len(sizes):
        return Candidate(rule, shown, 0.0, 0, 0.0, 0.0, "")
    lines, median = sizes.sum(), float(np.median(sizes))
    several = float(sizes[sizes >= 2].sum() / lines)
    many = min(1.0, float(np.log2(len(sizes))) / float(np.log2(MANY)))
    spread = 1.0 - float(((sizes / lines) ** 2).sum())
    score = weight * covered * several * many * spread if len(sizes) >= FEWEST else 0.0
    why = f"in {covered:.0%} of the records, {len(sizes):,} different, {median:g} lines each (median)"
    if covered < COVERED:
        why += "; the others would be rejected"
    elif several < 0.5:
        why += "; most come once"
    elif len(sizes) < FEWEST:
        why += "; too few"
    return Candidate(rule, shown, covered, len(sizes), median, score, why)


def _weight(name: str) -> float:
    return 1.0 if _RUN.search(name) and not _ENTITY.search(name) else 0.7 if _ENTITY.search(name) else 0.5


def _entity(rule: SessionRule) -> bool:
    return any(_ENTITY.search(name) for name in rule.fields)


def _window_s(records: Records, dated: bool) -> float:
    """The window that holds about as many records as it should."""
    if not dated or len(records) < 2:
        return 60.0
    gaps = np.diff(np.sort(records.time))
    # The excerpt has holes; what is longer than the longest window is one of them, or a night.
    gaps = gaps[gaps <= WINDOWS_S[-1]]
    rate = len(gaps) / max(float(gaps.sum()), 1e-3)
    wanted = WINDOW_RECORDS / rate
    return min(WINDOWS_S, key=lambda window: abs(float(np.log(window / wanted))))
