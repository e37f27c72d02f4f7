"""What is normal of each number: its limits, from what normal lines and planted faults are off by.

Owns which lines a limit is made of, and the order of the steps. Does not know how a fault is made, nor how false alarms
are spent.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.deeplog_values.detector import Measured, TemplateValues
from models.deeplog_values.layout import ELAPSED, Position, transformed
from models.deeplog_values.limits import KINDS, LEVELS, SIDES
from models.sessions import Bool, Float64, Int64
from training.deeplog_values.allocation import Candidates, Off, candidates, spend
from training.deeplog_values.judge import Judge
from training.deeplog_values.planted import faults

_ERRORS = 50
"""Mean squared errors behind the paper's interval, at least."""


_TICKS = 2.0 / 3.0
"""Of a pause's standard deviation, what it varies by where the clock's tick stands for it."""


@dataclass(frozen=True, slots=True)
class _Number:
    """One predicted number: its template's ``row``, its ``column`` there, its ``position``; ``events``
    int64 [m] that have it, in order; its standard deviation ``std`` as it is logged, and ``spread``, on the scale of
    the position and in its standard deviations: 1.0, unless the clock's tick stands for these."""

    row: int
    column: int
    position: Position
    events: Int64
    std: float
    spread: float


class Normal:
    """The numbers of a training, measured once; limits can be made of any part of its lines."""

    def __init__(self, judge: Judge, older: Bool, seed: int) -> None:
        """``older`` bool [n]: events that the network has learned from."""
        self._judge = judge
        self._older = older
        self._seed = seed
        layout = judge.layout
        self._positions = layout.positions
        self._shape = len(layout.positions), layout.values.shape[1], KINDS, SIDES, len(LEVELS)
        self._measured = judge.measure(_templates(self._positions, np.ones(self._shape)))
        self._numbers = list(self._each())

    def templates(self, kept: Bool) -> dict[int, TemplateValues]:
        """Templates with the limits that the ``kept`` bool [n] of the events make."""
        random = np.random.default_rng(self._seed)
        lines = max(1, int((kept & (self._judge.layout.row >= 0)).sum()))
        limits = np.ones(self._shape)
        places: list[tuple[int, int, int]] = []
        found: list[Candidates] = []
        for one in self._numbers:
            events = one.events[kept[one.events]]
            own = self._evidence(events, self._judge.settings.tail)
            if not len(own):
                continue
            values = self._judge.layout.values[own, one.column]
            for side in range(SIDES):
                normal = _off(self._measured, own, one.column, side)
                planted = faults(one.position, values, normal, one.std, side, random)
                places.append((one.row, one.column, side))
                found.append(candidates(normal, planted, len(events) / lines, one.spread))
        if found:
            row, column, side = np.array(places).T
            rates = (1.0 - self._judge.settings.confidence) / np.array(LEVELS)
            limits[row, column, :, side] = spend(found, rates)
        mu_sigma = [self._error(row, kept) for row in range(len(self._positions))]
        return _templates(self._positions, limits, mu_sigma)

    def _each(self) -> Iterator[_Number]:
        layout = self._judge.layout
        for row, positions in enumerate(self._positions.values()):
            events = np.flatnonzero(layout.row == row)
            for column, position in enumerate(positions):
                own = events[~np.isnan(self._measured.prediction[events, column])]
                if position.predicted and len(own):
                    std = float(layout.values[own, column].std())
                    # Of pauses, the clock's tick may be larger than what they vary by.
                    spread = float(transformed(layout.values[own, column], position.unit).std()) / position.std
                    if position.mask != ELAPSED or spread > _TICKS:
                        spread = 1.0
                    else:
                        std = max(std, position.original(1.0) - position.original(0.0))
                    yield _Number(row, column, position, own, std, spread)

    def _evidence(self, events: Int64, tail: int) -> Int64:
        """Those that make a normal range: all of the newest sessions, and where they are few the newest of the older
        ones."""
        newest, past = events[~self._older[events]], events[self._older[events]]
        return np.concatenate([past[max(0, len(past) - max(0, tail - len(newest))) :], newest])

    def _error(self, row: int, kept: Bool) -> tuple[float, float]:
        own = np.flatnonzero((self._judge.layout.row == row) & kept & ~np.isnan(self._measured.error))
        e = self._measured.error[self._evidence(own, _ERRORS)]
        return (float(e.mean()), float(e.std())) if len(e) else (1.0, 0.0)


def _templates(
    positions: dict[int, tuple[Position, ...]],
    limits: Float64,
    errors: list[tuple[float, float]] | None = None,
) -> dict[int, TemplateValues]:
    return {
        key: TemplateValues(own, limits[row, : len(own)], *((0.0, 0.0) if errors is None else errors[row]))
        for row, (key, own) in enumerate(positions.items())
    }


def _off(measured: Measured, events: Int64, column: int, side: int) -> Off:
    """What ``events`` int64 [m] are off by on one side."""
    sign = 1.0 if side else -1.0
    return Off(
        sign * measured.prediction[events, column], sign * measured.mean[events, column], measured.seen[events, column]
    )
