"""Where a session left the workflow: after which step, what was expected there, what came, what is missing (DeepLog,
section 4.4).

Owns the naming of a departure. Does not know detectors, nor templates' texts: it speaks of template ids.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from models.sessions import BEFORE_SESSION
from models.vocabulary import END
from models.workflow.alignment import FARTHEST_SKIP, Aligner, Place
from models.workflow.automaton import Automaton
from models.workflow.graph import Workflow

Departure = Literal["none", "slow", "missing", "order", "repeated", "elsewhere", "unknown", "ended_early", "unplaced"]
"""What the observed key is to the workflow:

* ``none``: one of the keys that may follow, and ``slow``: the same, after a longer pause than training saw there;
* ``missing``: a later step, with steps before it left out; ``ended_early``: the same of the session's end;
* ``order``: a step that was left out earlier, too late; ``repeated``: a step that was already done;
* ``elsewhere``: a step of another kind of session, or of this one where it cannot come any more;
* ``unknown``: no step at all; ``unplaced``: a step, but nothing before it says where the session is.
"""

Step = tuple[int, bool]
"""A template, and whether every way passes it."""

EXPECTED = 5
"""Next keys that are told, the likeliest ones."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Where a session left the workflow.

    ``task``: which kind of session, by its place in the workflow, and in how many training sessions it was seen (both
    None where nothing places it); ``last``: template of the last step that matched (``BEFORE_SESSION`` for the start);
    ``unmatched``: keys after it that are no steps here; ``expected``: (template, share of the training sessions that
    went there), the likeliest first; ``missing``: (template, whether every way passes it) of the steps left out on the
    shortest way to the observed one, in order;
    ``absent``: templates that every such session has and this one, seen from its start to its end, has not;
    ``elapsed_s`` and ``slowest_s``: pause before the observed key, and the longest that training saw there.
    """

    departure: Departure
    observed: int
    task: int | None
    sessions: int | None
    last: int | None
    unmatched: int
    expected: tuple[tuple[int, float], ...]
    missing: tuple[Step, ...]
    absent: tuple[int, ...]
    elapsed_s: float | None
    slowest_s: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON; every template stands as ``template_id`` in a mapping of its own."""
        return {
            "departure": self.departure,
            "observed": {"template_id": self.observed},
            "task": self.task,
            "sessions": self.sessions,
            "last": None if self.last is None else {"template_id": self.last},
            "unmatched": self.unmatched,
            "expected": [{"template_id": key, "probability": share} for key, share in self.expected],
            "missing": [{"template_id": key, "every_way": always} for key, always in self.missing],
            "absent": [{"template_id": key} for key in self.absent],
            "elapsed_s": self.elapsed_s,
            "slowest_s": self.slowest_s,
        }


class Diagnostician:
    """Diagnoses sessions of one workflow. Not safe for concurrent use."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self._automaton = Automaton(workflow)
        self._aligner = Aligner(self._automaton)

    def diagnose(
        self,
        keys: Sequence[int],
        observed: int,
        *,
        counts: Mapping[int, int] | None = None,
        elapsed_s: float | None = None,
    ) -> Diagnosis:
        """Why ``observed`` (a template id, or ``END``) is strange after ``keys``.

        ``keys``: template ids, oldest first: a session from its start if ``BEFORE_SESSION`` stands first, else its
        newest part; ``counts``: {template id: count} of the whole session, where it is known; ``elapsed_s``: seconds
        since its last event. Any numbers will do: unknown ids are told apart.
        """
        places = self._aligner.align(keys)
        seen = set(keys) if counts is None else {key for key, count in counts.items() if count > 0}
        if counts is not None:
            places = self._likeliest(places, seen)
        whole = counts is not None or BEFORE_SESSION in keys
        expected = self._expected(places)
        elapsed = elapsed_s if elapsed_s is not None and isfinite(elapsed_s) else None
        if not places:
            known = observed in self._automaton.with_key
            departure: Departure = "unplaced" if known else "unknown"
            return Diagnosis(departure, observed, None, None, None, len(keys), (), (), (), elapsed, None)
        place = self._leading(places, observed)
        departure, missing = self._departure(place, observed, seen)
        task = self._automaton.task[place.state]
        slowest = self._slowest(place.state, observed) if departure == "none" else None
        if elapsed is not None and slowest is not None and elapsed > slowest:
            departure = "slow"
        mandatory = self.workflow.tasks[task].mandatory if whole and observed == END else ()
        return Diagnosis(
            departure=departure,
            observed=observed,
            task=task,
            sessions=self.workflow.tasks[task].sessions,
            last=self._automaton.key[place.state],
            unmatched=place.unmatched,
            expected=expected,
            missing=missing,
            absent=tuple(key for key in mandatory if key not in seen),
            elapsed_s=elapsed,
            slowest_s=slowest,
        )

    def _likeliest(self, places: list[Place], seen: set[int]) -> list[Place]:
        """Of equally cheap places, those in the tasks that fit the whole session's templates best."""
        misfit: dict[int, int] = {}
        for task in {self._automaton.task[place.state] for place in places}:
            kind = self.workflow.tasks[task]
            misfit[task] = len(set(kind.mandatory) - seen) + len((seen & self.workflow.templates) - kind.templates)
        least = min(misfit.values(), default=0)
        return [place for place in places if misfit[self._automaton.task[place.state]] == least]

    def _leading(self, places: list[Place], observed: int) -> Place:
        """The place that explains the observed key with the fewest steps left out; else the most travelled."""

        def left_out(place: Place) -> float:
            ways = self._aligner.reach(place.state).get(observed, ())
            return min((len(skipped) for _, skipped in ways), default=float("inf"))

        return min(places, key=left_out)

    def _expected(self, places: list[Place]) -> tuple[tuple[int, float], ...]:
        counts: dict[int, int] = {}
        for place in places:
            for key, targets in self._automaton.after[place.state].items():
                counts[key] = counts.get(key, 0) + sum(count for _, count in targets)
        whole = sum(counts.values()) or 1
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return tuple((key, count / whole) for key, count in ranked[:EXPECTED])

    def _departure(self, place: Place, observed: int, seen: set[int]) -> tuple[Departure, tuple[Step, ...]]:
        after, node = self._automaton.after, self.workflow.tasks[self._automaton.task[place.state]].nodes
        if observed in after[place.state]:
            return "none", ()
        if observed not in self._automaton.with_key:
            return "unknown", ()
        if observed in {node[left_out].template_id for left_out in place.skipped}:
            return "order", ()
        missing = self._between(place.state, observed)
        if observed == END:
            return "ended_early", missing or ()
        if missing is not None and (observed not in seen or len(missing) <= FARTHEST_SKIP):
            return "missing", missing
        return ("repeated", ()) if observed in seen else ("elsewhere", ())

    def _between(self, state: int, observed: int) -> tuple[Step, ...] | None:
        """The steps between ``state`` and ``observed`` on the shortest way; None if there is no way."""
        way = self._way(state, observed, None)
        if way is None:
            return None
        task, node, key = self._automaton.task, self._automaton.node, self._automaton.key
        return tuple((key[step], self._way(state, observed, (task[step], node[step])) is None) for step in way)

    def _way(self, state: int, observed: int, barred: tuple[int, int] | None) -> list[int] | None:
        """States between ``state`` and the nearest one with the key ``observed``, none of them at the node barred."""
        automaton = self._automaton
        came: dict[int, int] = {state: state}
        frontier = [state]
        while frontier:
            beyond = []
            for at in frontier:
                if observed in automaton.after[at]:
                    way = []
                    while at != state:
                        way.append(at)
                        at = came[at]
                    return way[::-1]
                for targets in automaton.after[at].values():
                    for target, _count in targets:
                        if target not in came and (automaton.task[target], automaton.node[target]) != barred:
                            came[target] = at
                            beyond.append(target)
            frontier = beyond
        return None

    def _slowest(self, state: int, observed: int) -> float | None:
        """The longest pause before ``observed`` that training saw from here; None where it saw no times."""
        automaton = self._automaton
        places = {automaton.node[target] for target, _ in automaton.after[state][observed]}
        edges = self.workflow.tasks[automaton.task[state]].leaving[automaton.node[state]]
        return max(
            (edge.slowest_s for edge in edges if edge.target in places and edge.slowest_s is not None), default=None
        )


def diagnose(
    workflow: Workflow,
    keys: Sequence[int],
    observed: int,
    *,
    counts: Mapping[int, int] | None = None,
    elapsed_s: float | None = None,
) -> Diagnosis:
    """One diagnosis; for many, keep a ``Diagnostician``, which prepares the workflow once."""
    return Diagnostician(workflow).diagnose(keys, observed, counts=counts, elapsed_s=elapsed_s)
