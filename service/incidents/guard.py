"""Guard rails of feedback: how much one author or one hour may move, and what no rule may silence.

Owns the refusals. Pure: it is shown the rules and cases of a source as they stand; whoever asks writes only if they
still stand so. Does not know how fast an author may go on (``service.state.feedback.draw``).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.rules import Clause, Rule, Rules
from service.errors import Conflict, TooMuchFeedback
from service.settings import Settings
from service.state import keys
from service.state.rules import StoredRules

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Rules of a source that may have been added within an hour, and how many verdicts a week one author's may silence
    ``alone``; None: nobody needs a second author."""

    per_author: int
    per_source: int
    alone: int | None = None

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """As the settings say."""
        alone = settings.feedback_alone
        return cls(settings.feedback_rules_per_author, settings.feedback_rules_per_source, None if alone < 0 else alone)


def check_rule(
    stored: StoredRules, rule_id: str, rule: Mapping[str, Any], clauses: Sequence[Clause], limits: Limits
) -> None:
    """Refuse a rule with ``clauses``: Conflict where it would silence a protected case or says nothing new,
    TooMuchFeedback where its author or the source has had enough for now."""
    _spare_cases(stored, rule_id, rule, clauses)
    known = _silencing_all(stored, rule, clauses)
    if known is not None:
        raise Conflict(f"feedback {known} silences this already; DELETE /feedback/{known} takes it back")
    every = _every(stored)
    if len(every) >= keys.RULES_KEPT:
        raise Conflict(f"the source has {keys.RULES_KEPT} rules; take some back before adding more")
    now: float = rule["time"]
    recent = [other for other in every.values() if other["time"] > now - HOUR_S]
    own = [other for other in recent if other["author"] == rule["author"]]
    for found, most, who in (
        (own, limits.per_author, f"{rule['author']!r}"), (recent, limits.per_source, "everybody together")
    ):  # fmt: skip
        if len(found) >= most:
            wait_s = sorted(other["time"] for other in found)[-most] + HOUR_S - now
            raise TooMuchFeedback(
                f"{who} silenced {len(found)} causes of this source within an hour (limit {most}); "
                "go on later, or retrain the source",
                max(1, math.ceil(wait_s)),
            )


def agreed(stored: StoredRules, rule: Mapping[str, Any], clauses: Sequence[Clause]) -> list[str]:
    """Rules on trial by other authors that say no more than a new one with ``clauses`` would: whoever gives that
    agrees to them. Raises Conflict where one of them would silence what was protected since."""
    found = []
    for name, author in stored.trial.items():
        other = _every(stored).get(name)
        if other is None or author == rule["author"] or other["tree"] != rule["tree"]:
            continue
        own = _clauses(other)
        if all(any(_same(clause, one) and _holds(clause, one) for clause in clauses) for one in own):
            _spare_cases(stored, name, rule, own)
            found.append(name)
    return found


def check_case(stored: StoredRules, case: Mapping[str, Any]) -> None:
    """Refuse a case that a rule silences already, or that the source has no room for: Conflict."""
    rules = Rules(_standing(stored.rules, case["tree"], case["time"]))
    known = rules.silencing(_clauses(case), case["time"])
    if known is not None:
        author = stored.rules[known]["author"]
        raise Conflict(f"feedback {known} of {author!r} silences this; take it back first: DELETE /feedback/{known}")
    if len(stored.cases) >= keys.CASES_KEPT:
        raise Conflict(f"the source protects {keys.CASES_KEPT} cases; take some back before adding more")


def expired(stored: StoredRules, now: float) -> list[str]:
    """Rules that silence nothing any more."""
    return [name for name, rule in _every(stored).items() if rule["expires"] is not None and rule["expires"] <= now]


def _spare_cases(stored: StoredRules, rule_id: str, rule: Mapping[str, Any], clauses: Sequence[Clause]) -> None:
    ours = Rules([Rule(rule_id, tuple(clauses), None)])
    for case_id, case in stored.cases.items():
        if case["tree"] == rule["tree"] and ours.silencing(_clauses(case), rule["time"]) is not None:
            raise Conflict(
                f"this would silence what {case['author']!r} called a real anomaly ({_told(case)}); choose a narrower "
                f"scope, or take that back first: DELETE /feedback/{case_id}"
            )


def _every(stored: StoredRules) -> dict[str, dict[str, Any]]:
    """Rules in force, and those that wait for a second author."""
    return {**stored.rules, **stored.waiting}


def _silencing_all(stored: StoredRules, rule: Mapping[str, Any], clauses: Sequence[Clause]) -> str | None:
    """A rule by which, and others, all that the new one would silence is silent for as long already, or would be once
    somebody agrees with its author; what others said alone is no reason not to say it."""
    until = math.inf if rule["expires"] is None else rule["expires"]
    found: dict[tuple[str, str, str], list[tuple[Clause, str]]] = {}
    others = {name for name, author in stored.trial.items() if author != rule["author"]}
    firm = {name: other for name, other in _every(stored).items() if name not in others}
    for known in _standing(firm, rule["tree"], until):
        for clause in known.clauses:
            found.setdefault((clause.detector, clause.scope, clause.match), []).append((clause, known.id))
    last = None
    for clause in clauses:
        same = found.get((clause.detector, clause.scope, clause.match), ())
        last = next((name for own, name in same if _holds(own, clause)), None)
        if last is None:
            return None
    return last


def _same(one: Clause, other: Clause) -> bool:
    return (one.detector, one.scope, one.match) == (other.detector, other.scope, other.match)


def _holds(own: Clause, other: Clause) -> bool:
    """Whether the range of one clause holds all of the other's."""
    if own.low is None or own.high is None or other.low is None or other.high is None:
        return True
    return own.low <= other.low and other.high <= own.high


def _standing(rules: Mapping[str, Mapping[str, Any]], tree: str, until: float) -> Iterator[Rule]:
    """Those of some rules that are of a template tree and last until ``until``, seconds."""
    for name, rule in rules.items():
        if rule["tree"] == tree and (rule["expires"] is None or rule["expires"] >= until):
            yield Rule(name, tuple(_clauses(rule)), rule["expires"])


def _clauses(entry: Mapping[str, Any]) -> list[Clause]:
    return [Clause.from_dict(clause) for clause in entry["clauses"]]


def _told(case: Mapping[str, Any]) -> str:
    if case["incident"] is not None:
        return f"incident {case['incident']}, session {case['session']!r}"
    return f"session {case['session']!r}"
