"""What pictures show of raw outputs, small enough to keep as JSON: densities and precision-recall curves.

Owns binning and thinning. Knows nothing of drawing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.sessions import Bool, Float64

BINS = 24
POINTS = 26
ENTITIES = 8
"""Of those that a log has, the ones that are shown: two rows of panels."""
# Raw outputs that spread over more than this many times their median are binned on an asinh scale.
_SPREAD = 50.0
_TAIL = 0.001


def density(raw: Float64, actual: Bool, threshold: float | None = None) -> dict[str, Any]:
    """Shares of normal and of anomalous sessions by bin of ``raw`` float64 [n]; ``actual`` bool [n].

    The outer bins also hold what lies beyond them: a thousandth of each side; the first -inf and NaN, the
    last +inf.
    ``width`` is the linear width of an asinh scale, None where the bins are equally wide.
    """
    finite = raw[np.isfinite(raw)]
    shown = threshold if threshold is not None and np.isfinite(threshold) else None
    if not len(finite):
        finite = np.zeros(1) if shown is None else np.array([shown])
    low, high = (float(q) for q in np.quantile(finite, [_TAIL, 1.0 - _TAIL]))
    if shown is not None:
        low, high = min(low, shown), max(high, shown)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    sizes = np.abs(finite[finite != 0.0])
    scale = float(np.median(sizes)) if len(sizes) else 1.0
    width = scale if max(abs(low), abs(high)) > _SPREAD * scale else None
    edges = np.linspace(low, high, BINS + 1)
    if width is not None:
        edges = width * np.sinh(np.linspace(np.arcsinh(low / width), np.arcsinh(high / width), BINS + 1))
    place = np.clip(np.searchsorted(edges, np.nan_to_num(raw, nan=-np.inf), side="right") - 1, 0, BINS - 1)
    shares = {
        name: (np.bincount(place[those], minlength=BINS) / max(1, int(those.sum()))).tolist()
        for name, those in (("normal", ~actual), ("anomalous", actual))
    }
    return {"edges": edges.tolist(), "width": width, "threshold": shown, **shares}


def by_entity(errors: Float64, active: Bool, actual: Bool, entities: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Densities of the errors of the entities that write in most anomalous timeframes, and of those in most timeframes,
    over the timeframes in which each writes.

    ``errors`` float64 [n, N] and ``active`` bool [n, N], of n timeframes and N ``entities``; ``actual`` bool [n].
    """
    often, alarmed = active.sum(axis=0), active[actual].sum(axis=0)
    order = np.lexsort((-often, -alarmed))
    chosen = [at for at in order.tolist() if often[at]][:ENTITIES]
    return {entities[at]: density(errors[active[:, at], at], actual[active[:, at]]) for at in chosen}


def precision_recall(
    raw: Float64, actual: Bool, threshold: float | None = None, prevalence: float | None = None
) -> dict[str, Any] | None:
    """Precision and recall at every level of ``raw`` float64 [n], thinned, and ``at`` the threshold.

    Precision is that at ``prevalence``, where one is given. None where one class is missing. NaN ranks last.
    """
    anomalous = int(actual.sum())
    normal = len(actual) - anomalous
    if not anomalous or not normal:
        return None
    ranked = np.nan_to_num(raw, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    share = anomalous / len(actual) if prevalence is None else prevalence

    def precision(recall: Float64, fpr: Float64) -> Float64:
        hits = share * recall
        alarms = hits + (1.0 - share) * fpr
        return np.divide(hits, alarms, out=np.zeros_like(hits), where=alarms > 0.0)

    order = np.argsort(-ranked, kind="stable")
    ordered = ranked[order]
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(order) - 1)
    recall = np.cumsum(actual[order])[ends] / anomalous
    fpr = np.cumsum(~actual[order])[ends] / normal
    kept = np.unique(np.append(np.searchsorted(recall, np.linspace(recall[0], 1.0, POINTS)), [0, len(ends) - 1]))
    at = None
    if threshold is not None:
        alarms = ranked >= threshold
        own = np.array([alarms[actual].mean()]), np.array([alarms[~actual].mean()])
        at = [float(own[0][0]), float(precision(*own)[0])]
    height = precision(recall, fpr)[kept].tolist()
    # A level's precision holds from the recall before it on; the first one's from 0.
    return {"recall": [0.0, *recall[kept].tolist()], "precision": [height[0], *height], "at": at}


def shapes(
    scores: Mapping[str, Float64], actual: Bool, thresholds: Mapping[str, float], prevalence: float | None = None
) -> dict[str, dict[str, Any]]:
    """Both, by detector: ``density`` and, where both classes are there, ``precision_recall``."""
    found: dict[str, dict[str, Any]] = {"density": {}, "precision_recall": {}}
    for name, raw in scores.items():
        found["density"][name] = density(raw, actual, thresholds.get(name))
        curve = precision_recall(raw, actual, thresholds.get(name), prevalence)
        if curve is not None:
            found["precision_recall"][name] = curve
    return found
