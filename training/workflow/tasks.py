"""Kinds of session told apart: at a divergence, each alternative is a branch or a task of its own.

An alternative is a task of its own where it leads with certainty to keys that its sessions have and the others have
not; there are more of these than ``branch``, and they are most of what follows there. Everything else is a branch
(DeepLog, section 4.2.2). Owns this rule. Does not know how steps are named or drawn.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.sessions import BEFORE_SESSION
from models.vocabulary import END
from training.workflow.evidence import Evidence, Step, Variant
from training.workflow.settings import WorkflowSettings


@dataclass(frozen=True, slots=True)
class Labelled:
    """Equal sessions and the step that each of their keys is."""

    variant: Variant
    steps: list[Step]


def separate(sessions: Sequence[Labelled], evidence: Evidence, settings: WorkflowSettings) -> list[list[Labelled]]:
    """Sessions by task, the largest first."""
    waiting, tasks = [list(sessions)], []
    while waiting:
        group = waiting.pop()
        own = _own_task(group, evidence, settings)
        if own is None:
            tasks.append(group)
        else:
            chosen = set(own)
            waiting.append([group[place] for place in own])
            waiting.append([labelled for place, labelled in enumerate(group) if place not in chosen])
    return sorted(tasks, key=_weight, reverse=True)


def _own_task(group: list[Labelled], evidence: Evidence, settings: WorkflowSettings) -> list[int] | None:
    """Places of the sessions that are a task of their own, by the earliest divergence that says so."""
    whole = _weight(group)
    having = Counter[int]()
    for labelled in group:
        for key in set(labelled.variant.keys):
            having[key] += labelled.variant.count
    for step, ways in _divergences(group):
        for key, places in ways.items():
            inside = sum(group[place].variant.count for place, _ in places)
            if key == END or not settings.support <= inside <= whole - settings.support:
                continue
            own = _own_keys(group, places, having, whole, settings)
            if own and evidence.certain(step, key, own):
                return [place for place, _ in places]
    return None


def _divergences(group: list[Labelled]) -> Iterator[tuple[Step, dict[int, list[tuple[int, int]]]]]:
    """Steps after which sessions go different ways, the earliest first; by the next key, which sessions, and from which
    event on. Only a session's first visit counts: later ones are loops."""
    found: dict[Step, dict[int, list[tuple[int, int]]]] = {}
    depth: Counter[Step] = Counter()
    visits: Counter[Step] = Counter()
    for place, labelled in enumerate(group):
        met: set[Step] = set()
        keys, count = labelled.variant.keys, labelled.variant.count
        for at, step in enumerate([(BEFORE_SESSION,), *labelled.steps]):
            if step not in met:
                met.add(step)
                following = keys[at] if at < len(keys) else END
                found.setdefault(step, {}).setdefault(following, []).append((place, at))
                depth[step] += at * count
                visits[step] += count
    for step in sorted(found, key=lambda step: (depth[step] / visits[step], step)):
        if len(found[step]) > 1:
            yield step, found[step]


def _own_keys(
    group: list[Labelled],
    places: list[tuple[int, int]],
    having: Counter[int],
    whole: int,
    settings: WorkflowSettings,
) -> set[int]:
    """Keys that follow in these sessions and are foreign to the others of the group; none where they are too few, or
    not most of what follows, or none of them always does."""
    inside = sum(group[place].variant.count for place, _ in places)
    within, after = Counter[int](), Counter[int]()
    for place, at in places:
        variant = group[place].variant
        for key in set(variant.keys):
            within[key] += variant.count
        for key in set(variant.keys[at:]):
            after[key] += variant.count
    few = 1.0 - settings.certain
    usual = [key for key, count in after.items() if count >= few * inside]
    own = {key for key in usual if having[key] - within[key] <= few * (whole - inside)}
    always = any(after[key] >= settings.certain * inside for key in own)
    return own if always and len(own) > settings.branch and 2 * len(own) > len(usual) else set()


def _weight(group: list[Labelled]) -> int:
    return sum(labelled.variant.count for labelled in group)
