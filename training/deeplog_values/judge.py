"""The events of a training under its network: how far each is off, and what that is worth.

Owns the way from events to the detector's inputs. Does not know how limits are found.
"""

from collections.abc import Mapping

import numpy as np

from models.deeplog_values.detector import DeepLogValues, Measured, TemplateValues
from models.sessions import Float64, Int64
from training.deeplog_values.fit import Unexported
from training.deeplog_values.layout import Layout
from training.deeplog_values.occurrences import Occurrences, histories
from training.deeplog_values.settings import DeepLogValuesSettings

_SLICE = 8192


class Judge:
    """Whatever the limits."""

    def __init__(
        self, given: Occurrences, layout: Layout, settings: DeepLogValuesSettings, network: Unexported
    ) -> None:
        self.given = given
        self.layout = layout
        self.settings = settings
        self._network = network

    def detector(self, templates: Mapping[int, TemplateValues]) -> DeepLogValues:
        settings = self.settings
        return DeepLogValues(
            templates, self.layout.without, settings.h, settings.confidence, settings.rule, self._network
        )

    def measure(self, templates: Mapping[int, TemplateValues]) -> Measured:
        """All events; nothing of those whose template has no model."""
        known = np.flatnonzero(self.layout.row >= 0)
        detector = self.detector(templates)
        shape = self.layout.values.shape
        off, mean = np.full(shape, np.nan), np.full(shape, np.nan)
        found = Measured(off, mean, np.zeros(shape, dtype=np.bool_), np.full(shape[0], np.nan))
        for start in range(0, len(known), _SLICE):
            events = known[start : start + _SLICE]
            part = detector.measure(*self._inputs(events))
            for name in Measured.__slots__:
                getattr(found, name)[events] = getattr(part, name)
        return found

    def raws(self, templates: Mapping[int, TemplateValues], events: Int64) -> Float64:
        """Raw outputs of ``events`` int64 [m], float64 [m]."""
        detector = self.detector(templates)
        parts = [
            detector.score_values(*self._inputs(events[start : start + _SLICE]))
            for start in range(0, len(events), _SLICE)
        ]
        return np.concatenate([np.empty(0), *parts])

    def _inputs(self, events: Int64) -> tuple[Int64, Float64, Float64]:
        values = self.layout.values
        return self.given.key[events], histories(self.given, values, events, self.settings.h), values[events]
