"""Keys laid against a workflow where they do not replay: which were steps, which were not, which steps were left out.

Owns the costs and the search, a beam over the automaton's states. Does not know what is told of it
(``models.workflow.diagnosis``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from models.sessions import BEFORE_SESSION
from models.workflow.automaton import Automaton

ALIGNED = 512
"""Newest keys that are laid against the workflow; what came before would change nothing of where they lead."""

EXTRA = 1
"""Cost of a key that is no step here; a step left out costs as much."""
JUMP = 3
"""Cost of going on from anywhere: dearer than two steps left out, so that it is the last resort."""
FARTHEST_SKIP = 3
"""Steps in a row that may be left out before it counts as a jump."""
BEAM = 64
"""States followed at a time, besides one for each task."""
SLACK = 4
"""States that cost so much more than the best are given up."""

REMEMBERED = 1_024
"""Beginnings whose places are remembered."""

ANYWHERE = -1
"""The state of knowing nothing yet: the keys before the first one seen are unknown."""


class Place(NamedTuple):
    """Where keys may have led: a state, its cost, and how its newest keys came to be there.

    ``skipped``: nodes of the state's task left out on the way, the newest last; ``unmatched``: keys since the last one
    that was a step.
    """

    state: int
    cost: int
    skipped: tuple[int, ...] = ()
    unmatched: int = 0


@dataclass(slots=True)
class _Way:
    """Where some first keys lead, and so on with each key after them that was met."""

    places: dict[int, Place]
    further: dict[int, "_Way"] = field(default_factory=dict)


class Aligner:
    """Lays keys against one workflow. Not safe for concurrent use: it remembers what it worked out."""

    def __init__(self, automaton: Automaton) -> None:
        self.automaton = automaton
        self._beam = BEAM + len(automaton.starts)
        self._reach: dict[int, dict[int, list[tuple[int, tuple[int, ...]]]]] = {}
        self._forget()

    def align(self, keys: Sequence[int]) -> list[Place]:
        """The cheapest places after ``keys``, all of equal cost and as near to the last key, the most travelled first;
        linear in the number of keys.

        Keys that begin with ``BEFORE_SESSION`` are a session from its start; others begin anywhere. Empty where
        nothing is known: no key is of the workflow and the start was not seen.
        """
        known = [key for key in keys if key != BEFORE_SESSION]
        begun = len(known) < len(keys) and len(known) <= ALIGNED and bool(self.automaton.starts)
        way = self._begun if begun else self._anywhere
        for key in known[-ALIGNED:]:
            way = self._beyond(way, key)
        places = way.places
        least = min(place.cost for place in places.values())
        best = [place for place in places.values() if place.cost == least and place.state != ANYWHERE]
        # A step left out and a step too many cost the same: the newest key is more likely to be a step than not.
        nearest = min((place.unmatched for place in best), default=0)
        best = [place for place in best if place.unmatched == nearest]
        return sorted(best, key=lambda place: (-self.automaton.weight[place.state], place.state))

    def _beyond(self, way: "_Way", key: int) -> "_Way":
        """One key further. Windows that ring come one after the other, or in the same way again: where their beginnings
        led to is known."""
        found = way.further.get(key)
        if found is None:
            found = _Way(self._advance(way.places, key))
            if self._ways >= REMEMBERED:
                self._forget()  # ways that somebody is still on go with him
            self._ways += 1
            way.further[key] = found
        return found

    def _forget(self) -> None:
        self._ways = 0
        self._begun = _Way({state: Place(state, 0) for state in self.automaton.starts})
        self._anywhere = _Way({ANYWHERE: Place(ANYWHERE, 0)})

    def _advance(self, places: dict[int, Place], key: int) -> dict[int, Place]:
        found: dict[int, Place] = {}
        least = min(place.cost for place in places.values())
        steps = self.automaton.with_key.get(key, ())
        for place in places.values():
            if place.state == ANYWHERE:
                for target in steps:
                    if _is_better(found.get(target), place.cost, 0):
                        found[target] = Place(target, place.cost)
            else:
                for target, left_out in self.reach(place.state).get(key, ()):
                    cost = place.cost + len(left_out)
                    if _is_better(found.get(target), cost, 0):
                        found[target] = Place(target, cost, (*place.skipped, *left_out)[-FARTHEST_SKIP:])
            if _is_better(found.get(place.state), place.cost + EXTRA, place.unmatched + 1):
                found[place.state] = Place(place.state, place.cost + EXTRA, place.skipped, place.unmatched + 1)
        for target in steps:
            if target not in found or found[target].cost > least + JUMP:
                found[target] = Place(target, least + JUMP)
        bound = min(place.cost for place in found.values()) + SLACK
        kept = [place for place in found.values() if place.cost <= bound]
        if len(kept) > self._beam:
            kept = sorted(kept, key=lambda place: (place.cost, -self._weight(place.state), place.state))[: self._beam]
        return {place.state: place for place in kept}

    def reach(self, state: int) -> dict[int, list[tuple[int, tuple[int, ...]]]]:
        """By key: the states that it may lead to from ``state``, each with the nodes left out on the way, the fewest
        that there are and at most ``FARTHEST_SKIP``."""
        known = self._reach.get(state)
        if known is not None:
            return known
        automaton = self.automaton
        ways: dict[int, tuple[int, ...]] = {}
        frontier: dict[int, tuple[int, ...]] = {state: ()}
        for _ in range(FARTHEST_SKIP + 1):
            beyond: dict[int, tuple[int, ...]] = {}
            for at, left_out in frontier.items():
                for targets in automaton.after[at].values():
                    for target, _count in targets:
                        if target not in ways:
                            ways[target] = left_out
                            beyond[target] = (*left_out, automaton.node[target])
            frontier = beyond
        found: dict[int, list[tuple[int, tuple[int, ...]]]] = {}
        for target, left_out in ways.items():
            found.setdefault(automaton.key[target], []).append((target, left_out))
        self._reach[state] = found
        return found

    def _weight(self, state: int) -> int:
        return 0 if state == ANYWHERE else self.automaton.weight[state]


def _is_better(held: Place | None, cost: int, unmatched: int) -> bool:
    """Whether another way to a state takes the place of the one that is held."""
    return held is None or cost < held.cost or (cost == held.cost and unmatched < held.unmatched)
