"""What people said, read from Redis in the form in which the learner takes it.

Owns which answers still stand. Does not know what is learned from them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from redis.asyncio import Redis

from models.errors import DataError
from models.lesson import Lesson
from models.rules import Clause, Rule
from service.state import feedback, rules
from training.learning.answers import Answer


@dataclass(frozen=True, slots=True)
class Standing:
    """Answers of one template tree that were not taken back: ``false_alarms`` by id with their rules (None: the rule
    was retired, as a version learned it), and the real or missed anomalies that are ``protected``."""

    false_alarms: dict[str, tuple[Answer, Rule | None]]
    protected: list[Answer]


async def read(redis: Redis, source: str, tree_id: str, now: float) -> Standing:
    """All that stands of a source at wall clock ``now``, seconds."""
    stored = await rules.load(redis, source)
    retired = await rules.retired(redis, source)
    alarms: dict[str, tuple[Answer, Rule | None]] = {}
    for name, rule in {**retired, **stored.rules}.items():
        if rule["tree"] != tree_id or (rule["expires"] is not None and rule["expires"] <= now):
            continue
        clauses = tuple(Clause.from_dict(clause) for clause in rule["clauses"])
        answer = await _answer(redis, name, frozenset(clause.detector for clause in clauses))
        if answer is not None:
            alarms[name] = answer, Rule(name, clauses, rule["expires"]) if name in stored.rules else None
    cases = [await _answer(redis, name) for name, case in stored.cases.items() if case["tree"] == tree_id]
    return Standing(alarms, [case for case in cases if case is not None])


async def note(redis: Redis, ids: Iterable[str], told: dict[str, object]) -> None:
    """Write down beside answers what became of them; those that were taken back meanwhile stay so."""
    for name in ids:
        item = await feedback.get(redis, name)
        if item is not None:
            await feedback.replace(redis, name, item | told)


async def _answer(redis: Redis, name: str, silenced: frozenset[str] = frozenset()) -> Answer | None:
    """None where the item is gone, or holds nothing to learn from."""
    item = await feedback.get(redis, name)
    try:
        lessons = tuple(Lesson.from_dict(one) for one in (item or {}).get("lessons", []))
    except (AttributeError, DataError):
        return None
    return Answer(name, item["label"], lessons, silenced) if item is not None and lessons else None
