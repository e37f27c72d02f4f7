"""Faults planted in numbers, and the most that limits could catch of them.

Owns kinds, sizes and places. Does not know who judges.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.deeplog_values.detector import DeepLogValues
from models.deeplog_values.layout import transformed
from models.sessions import Bool, Float64, Int64
from training.benchmarks.value_material import Material, Vectors
from training.benchmarks.value_rivals import stacked
from training.deeplog_values.occurrences import histories
from training.deeplog_values.planted import SPAN

SIGMAS = (3.0, 4.0, 6.0)
RATE = 0.01
"""Share of unchanged lines that may reach a threshold."""
PLANTS = 2_000
"""Faults of each kind and size, at most."""
ANY = "any number"
OWN = "any number, own scale"
DRAWN = "any number, 3 to 30 sigma"
RAMP = 5
"""Lines in which a drift grows."""
DRIFTS = {"drift": RAMP, "drift, held": 2 * RAMP}
"""Lines of a drift that is seen while it grows, and of one that then stays."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of each of c faults: ``event`` int64 [c], which of the judged; ``values`` float64 [c, width] as the
    fault has them, ``history`` float64 [c, h, width] as it is by then."""

    event: Int64
    values: Float64
    history: Float64


@dataclass(frozen=True, slots=True)
class Fault:
    """c faults of a kind and size; ``column`` int64 [c]: which cell is raised; ``steps``: their lines."""

    kind: str
    sigma: float | None
    column: Int64
    steps: list[Step]


def plants(
    material: Material,
    detector: DeepLogValues,
    judged: Vectors,
    std: Mapping[int, Float64],
    random: np.random.Generator,
) -> list[Fault]:
    """Kind, size and lines of every batch of faults."""
    candidates: dict[str, list[tuple[int, int]]] = {}
    values = judged.values[judged.at]
    key = judged.key
    ahead = {kind: _follows(judged, lines) for kind, lines in DRIFTS.items()}
    for template, known in detector.templates.items():
        events = np.flatnonzero(key == template)
        for column, position in enumerate(known.positions):
            own = events[~np.isnan(values[events, column])]
            if position.constant is not None:
                kind = "constant"
            elif not position.samples or not std[template][column] > 0.0:
                continue
            else:
                kind = material.kinds(template, position)
            candidates.setdefault(kind, []).extend((event, column) for event in own.tolist())
            if kind not in ("", "constant"):
                for every in (ANY, OWN):
                    candidates.setdefault(every, []).extend((event, column) for event in own.tolist())
                for drift, enough in ahead.items():
                    candidates.setdefault(drift, []).extend((event, column) for event in own[enough[own]].tolist())
    found: list[Fault] = []
    candidates.pop("", None)
    for kind, places in sorted(candidates.items()):
        if not places:
            continue
        picked = random.permutation(len(places))[:PLANTS]
        event, column = np.array(places, dtype=np.int64)[picked].T
        for sigma in (None,) if kind == "constant" else SIGMAS:
            if sigma is None:
                rise = np.ones(len(event))
            elif kind == OWN:
                rise = _own_rise(detector, judged, event, column, sigma)
            else:
                rise = sigma * stacked(key[event], std)[range(len(event)), column]
            steps = _steps(judged, detector.window, event, column, rise, DRIFTS.get(kind, 1))
            found.append(Fault(kind, sigma, column, steps))
    # Last, so that the draws of the others stay what they are.
    picked = random.permutation(len(candidates[ANY]))[:PLANTS]
    event, column = np.array(candidates[ANY], dtype=np.int64)[picked].T
    size = np.exp(random.uniform(np.log(SPAN[0]), np.log(SPAN[1]), len(event)))
    rise = size * stacked(key[event], std)[range(len(event)), column]
    return [*found, Fault(DRAWN, None, column, _steps(judged, detector.window, event, column, rise, 1))]


def bound(judged: Vectors, fault: Fault) -> float:
    """What upper limits of each number, one for all its lines, can catch at most: those limits chosen on the very
    faults and unchanged lines that they are then measured on."""
    last = fault.steps[-1]
    unchanged, values = judged.values[judged.at], last.values[np.arange(len(last.event)), fault.column]
    places = np.column_stack([judged.key[last.event], fault.column])
    best = 0
    curves = []
    for key, column in np.unique(places, axis=0).tolist():
        own = unchanged[judged.key == key, column]
        normal = np.sort(own[~np.isnan(own)])
        faulty = np.sort(values[(places == (key, column)).all(axis=1)])
        limits = np.append(np.unique(normal), np.inf)
        curves.append((_above(faulty, limits), _above(normal, limits)))
    for price in np.geomspace(1e-2, 1e3, 101).tolist():
        chosen = [int(np.argmax(caught - price * false)) for caught, false in curves]
        if sum(false[at] for (_, false), at in zip(curves, chosen, strict=True)) <= RATE * len(judged.at):
            best = max(best, int(sum(caught[at] for (caught, _), at in zip(curves, chosen, strict=True))))
    return best / len(values)


def _own_rise(detector: DeepLogValues, judged: Vectors, event: Int64, column: Int64, sigma: float) -> Float64:
    """What makes so many standard deviations on each number's own scale, float64 [c], in original units."""
    rise = np.empty(len(event))
    for at, (one, cell) in enumerate(zip(event.tolist(), column.tolist(), strict=True)):
        position = detector.templates[int(judged.key[one])].positions[cell]
        value = judged.values[judged.at[one], cell]
        rise[at] = position.original((float(transformed(value, position.unit)) - position.mean) / position.std + sigma)
        rise[at] -= value
    return rise


def _above(ordered: Float64, limits: Float64) -> Int64:
    """How many exceed each limit, int64."""
    return np.asarray(len(ordered) - np.searchsorted(ordered, limits, side="right"))


def _follows(judged: Vectors, lines: int) -> Bool:
    """Which events are the first of so many lines of their template in their session, bool [m]."""
    earlier = judged.occurrences.earlier
    last = np.minimum(judged.at + lines - 1, len(earlier) - 1)
    return np.asarray(earlier[last] == earlier[judged.at] + lines - 1)


def _steps(judged: Vectors, h: int, event: Int64, column: Int64, rise: Float64, lines: int) -> list[Step]:
    """A fault of so many ``lines``, from the fifth on (or the only one) raised by all of ``rise`` float64 [c]."""
    rows = np.arange(len(event))
    steps = []
    for line in range(lines):
        values = judged.values[judged.at[event] + line].copy()
        values[rows, column] += rise * min(1.0, (line + 1) / min(lines, RAMP))
        history = histories(judged.occurrences, judged.values, judged.at[event] + line, h)
        for past in range(line):
            history[rows, h - line + past, column] += rise * min(1.0, (past + 1) / min(lines, RAMP))
        steps.append(Step(event, values, history))
    return steps
