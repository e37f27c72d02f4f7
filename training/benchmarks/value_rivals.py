"""What the parameter-value model is held against: a z-score, and the last value.

Owns their statistics, from training's sessions alone. Does not know faults.
"""

from collections.abc import Callable, Mapping

import numpy as np

from models.deeplog_values.detector import DeepLogValues
from models.sessions import Bool, Float64, Int64
from training.benchmarks.value_material import Vectors

Scorer = Callable[[Int64, Float64, Float64], Float64]
"""Raw outputs of keys, histories and values, as ``ValueDetector.score_values``."""


def moments(detector: DeepLogValues, given: Vectors) -> tuple[dict[int, Float64], dict[int, Float64]]:
    """Mean and standard deviation of each number in training, float64 [width] by template."""
    mean, std = {}, {}
    for key in detector.templates:
        own = given.values[given.at[given.key == key]]
        there = ~np.isnan(own)
        count = np.maximum(there.sum(axis=0), 1)
        mean[key] = np.where(there, own, 0.0).sum(axis=0) / count
        std[key] = np.sqrt(np.where(there, np.square(own - mean[key]), 0.0).sum(axis=0) / count)
    return mean, std


def z_score(detector: DeepLogValues, mean: Mapping[int, Float64], std: Mapping[int, Float64]) -> Scorer:
    def score(keys: Int64, _history: Float64, values: Float64) -> Float64:
        off = np.where(_used(detector, keys), values - stacked(keys, mean), np.nan)
        return _largest(off, stacked(keys, std))

    return score


def last_value(
    detector: DeepLogValues, given: Vectors, mean: Mapping[int, Float64], std: Mapping[int, Float64]
) -> Scorer:
    """The difference to the value before, in standard deviations of such differences; a z-score where there is
    none."""
    before = given.history(np.arange(len(given.at)), 1)[:, -1]
    steps = given.values[given.at] - before
    spread = {
        key: np.array([_std(own[~np.isnan(own)]) for own in steps[given.key == key].T]) for key in detector.templates
    }

    def score(keys: Int64, history: Float64, values: Float64) -> Float64:
        last = history[:, -1]
        there = ~np.isnan(last) & (stacked(keys, spread) > 0.0)
        off = values - np.where(there, last, stacked(keys, mean))
        scale = np.where(there, stacked(keys, spread), stacked(keys, std))
        return _largest(np.where(_used(detector, keys), off, np.nan), scale)

    return score


def stacked(keys: Int64, by_key: Mapping[int, Float64]) -> Float64:
    table = np.zeros((max(by_key) + 1, len(next(iter(by_key.values())))))
    table[list(by_key)] = list(by_key.values())
    return table[keys]


def _largest(off: Float64, scale: Float64) -> Float64:
    """Largest of the deviations in their scales, float64 [k]; of a number without spread, infinity where it
    differs."""
    found = np.where(scale > 0.0, np.abs(off) / np.where(scale > 0.0, scale, 1.0), np.where(off != 0.0, np.inf, 0.0))
    return np.asarray(np.nan_to_num(np.where(np.isnan(off), 0.0, found), posinf=1e9).max(axis=1))


def _std(values: Float64) -> float:
    return float(values.std()) if len(values) else 0.0


def _used(detector: DeepLogValues, keys: Int64) -> Bool:
    """Cells that the detector judges too, bool [k, width]."""
    table = np.zeros((max(detector.templates) + 1, detector.width), dtype=np.bool_)
    for key, template in detector.templates.items():
        table[key, : len(template.positions)] = [p.samples > 0 for p in template.positions]
    return np.asarray(table[keys])
