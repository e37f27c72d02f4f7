"""Which of a template's numbers make its value vector, and on which scale.

Owns the choice: numbers, constants, counters; plain or logarithmic; mean and spread. All of it from the older
sessions, but for the check that a number still lies where it lay. Does not know the network.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.deeplog_values.layout import ELAPSED, Place, Position, transformed
from models.deeplog_values.network import Scales
from models.sessions import Bool, Float64, Int64
from training.deeplog_values.occurrences import Occurrences, Parameters
from training.deeplog_values.settings import DeepLogValuesSettings

_SKEWED = 1.0
"""Skewness of a symmetric distribution is 0, of an exponential one 2."""
_LEAST_UNIT = 0.05
"""Quantile of the positive values that becomes the unit of the logarithm: below it, differences are noise."""
_COUNTER = 0.95
"""Rank correlation with time from which on a number is a counter."""
_LEAST_NEWEST = 3
"""Newest values that can tell a counter."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions of each template with a model, by id, the elapsed time first; ``without``: how many older samples each
    of the others has; ``values`` float64 [n, width]: the vectors of all events, NaN where there is nothing; ``row``
    int64 [n]: which template of ``positions``, in order, -1 for one without a model."""

    positions: dict[int, tuple[Position, ...]]
    without: dict[int, int]
    values: Float64
    row: Int64

    def scales(self) -> Scales:
        """For the network; positions that it does not predict are not judged."""
        shape = len(self.positions), self.values.shape[1]
        mean, std, unit, judged = np.zeros(shape), np.ones(shape), np.zeros(shape), np.zeros(shape)
        for row, positions in enumerate(self.positions.values()):
            for column, position in enumerate(positions):
                mean[row, column], std[row, column], unit[row, column] = position.mean, position.std, position.unit
                judged[row, column] = float(position.predicted)
        return Scales(mean, std, unit, judged)


def choose(given: Occurrences, read: Mapping[int, Parameters], older: Bool, settings: DeepLogValuesSettings) -> Layout:
    """Positions of every template with at least h + 2 vectors in the ``older`` bool [n] of the events."""
    positions: dict[int, tuple[Position, ...]] = {}
    without: dict[int, int] = {}
    columns: dict[int, list[Float64]] = {}
    tick = _tick(given.elapsed[older])
    events_of: dict[int, Int64] = {}
    order = np.argsort(given.key, kind="stable")
    keys, first = np.unique(given.key[order], return_index=True)
    for key, events in zip(keys.tolist(), np.split(order, first[1:]), strict=True):
        old = older[events]
        candidates: list[tuple[str, Place, Float64]] = [(ELAPSED, (-1, -1), given.elapsed[events])]
        own = read.get(key)
        if own is not None:
            numeric = own.words[old].mean(axis=0) <= 1.0 - settings.numeric if old.any() else np.zeros(len(own.places))
            named = zip(own.masks, own.places, own.values.T, numeric, strict=True)
            candidates += [(mask, place, values) for mask, place, values, fit in named if fit]
        samples = int((~np.isnan(np.column_stack([values[old] for _, _, values in candidates]))).any(axis=1).sum())
        chosen: list[Position] = []
        kept: list[Float64] = []
        if samples >= settings.h + 2:
            for mask, place, values in candidates:
                position = _position(mask, place, values[old], values[~old], tick, settings)
                # The elapsed time has its column whatever becomes of it.
                if position is not None and (mask == ELAPSED or len(chosen) < settings.positions):
                    chosen.append(position)
                    kept.append(values)
        if any(position.samples for position in chosen):
            positions[key], columns[key], events_of[key] = tuple(chosen), kept, events
        else:
            without[key] = samples
    width = max((len(own) for own in positions.values()), default=1)
    values = np.full((len(given), width), np.nan)
    row = np.full(len(given), -1, dtype=np.int64)
    for number, (key, events) in enumerate(events_of.items()):
        row[events] = number
        for column, own_values in enumerate(columns[key]):
            values[events, column] = own_values
    return Layout(positions, without, values, row)


def _position(
    mask: str, place: Place, old: Float64, new: Float64, tick: float, settings: DeepLogValuesSettings
) -> Position | None:
    """None for a parameter that cannot be judged; an elapsed time without a sample stays, with ``samples`` of 0."""
    old, new = old[~np.isnan(old)], new[~np.isnan(new)]
    token, ordinal = place
    elapsed = mask == ELAPSED
    if len(old) < settings.h + 2:
        return Position(mask, token, ordinal, 0) if elapsed else None
    if not elapsed:
        if old.min() == old.max():
            constant = float(old[0])
            steady = bool((new == constant).all())
            return Position(mask, token, ordinal, len(old) + len(new), constant=constant) if steady else None
        if _counts(old, new, settings):
            return None
    unit = _unit(old)
    scaled = transformed(old, unit)
    std = float(scaled.std())
    if elapsed:
        # A clock that ticks in whole seconds makes equal pauses differ by one.
        std = max(std, float(transformed(np.array([tick]), unit)[0]))
    if not std > 1e-9 * max(1.0, abs(float(scaled.mean()))):
        return None
    return Position(mask, token, ordinal, len(old), mean=float(scaled.mean()), std=std, unit=unit)


def _counts(old: Float64, new: Float64, settings: DeepLogValuesSettings) -> bool:
    """Whether values in order of time are those of a counter: they leave their old range, and in the order of time
    are in the order of size too. A duration that grows with a table leaves its range, and yet goes up and down."""
    outside = (new < old.min()) | (new > old.max())
    if len(new) < _LEAST_NEWEST or outside.mean() <= settings.drift:
        return False
    ranks = np.unique(np.concatenate([old, new]), return_inverse=True)[1]
    return bool(abs(np.corrcoef(ranks, np.arange(len(ranks)))[0, 1]) > _COUNTER)


def _unit(values: Float64) -> float:
    """0.0 for a plain scale; else the unit of the logarithm, for values without a sign that are skewed less on it.

    Durations and sizes are so as a rule: on a plain scale their few large values are all of the spread, and a tenfold
    slowdown of the common case is nothing beside it.
    """
    if values.min() < 0.0 or not values.max() > 0.0:
        return 0.0
    plain = _skewness(values)
    unit = float(np.quantile(values[values > 0.0], _LEAST_UNIT))
    return unit if plain > _SKEWED and abs(_skewness(transformed(values, unit))) < plain else 0.0


def _skewness(values: Float64) -> float:
    off = values - values.mean()
    spread = float(np.sqrt(np.square(off).mean()))
    return float(np.mean((off / spread) ** 3)) if spread > 0.0 else 0.0


def _tick(elapsed: Float64) -> float:
    """The least pause that the log's clock shows, seconds."""
    pauses = elapsed[elapsed > 0.0]
    return float(np.quantile(pauses, 0.001)) if len(pauses) else 1e-3
