"""Rates from a log to what a bundle needs: rhythms of the series, and bounds by deviations of held-out buckets.

Owns how much data is needed for what, and how bounds follow from the alarms that are aimed at. Does not know bundles.
Labels are not asked: what labels call anomalous are sessions, and every busy bucket has a line of one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from models.errors import DataError
from models.rate.detector import DIRECTIONS, NAME, SOURCE, STATE, Bound, Direction, Rate
from models.rate.rhythm import DAY_S, HOURS, Rhythm, stabilised, weekend
from models.record import Records
from models.sessions import Bool, Float64, Int64
from models.template.tree import TemplateTree
from training.rate.buckets import Buckets, buckets_of
from training.rate.settings import RateSettings

RHYTHM_DAYS = 1.9
"""Fewer do not show a time of day twice: one flat rate then, with wide bounds. A log of two days is seldom full to its
ends."""
WEEK_DAYS = 7.0
"""More are needed to tell weekends from weekdays, and two days of each."""
FLAT_EXCESS = 1.0
"""Overdispersion of a flat rate at least: a standard deviation as large as the mean, as nobody knows the night."""
FOLDS = 7
TAIL = 0.02
"""Share of the held-out deviations, the largest, from which their tail is read."""
LEAST_SCALE = 0.1


@dataclass(frozen=True, slots=True)
class FittedRate:
    """Fitted rates as a bundle keeps them: ``settings`` is what the manifest says of them, ``files`` bundle files."""

    name: str
    settings: dict[str, Any]
    files: dict[str, bytes]


def days_of(records: Records, settings: RateSettings) -> float:
    """Days of a log that rates can be learned from."""
    nothing = np.full(len(records), -1, dtype=np.int64)
    return _days(_buckets(records.time, nothing, settings))


def fit_rate(records: Records, tree: TemplateTree, settings: RateSettings) -> FittedRate:
    """Fit on the lines of a log, whose templates are those of ``tree``. Raises DataError where it is too short."""
    return fit_counts(_buckets(records.time, tree.match(records.masked), settings), settings)


def fit_counts(buckets: Buckets, settings: RateSettings) -> FittedRate:
    """Fit on buckets of normal times. Raises DataError for fewer than ``settings.min_buckets``."""
    if len(buckets) < settings.min_buckets:
        raise DataError(
            f"{NAME} needs at least {settings.min_buckets} whole buckets of {settings.bucket_s:g} s in a row, got "
            f"{len(buckets)}; train on a longer log, set a smaller rate.bucket_s, or leave {NAME} out of the detectors"
        )
    plan = _plan(buckets)
    middle, counts = buckets.middle, buckets.counts
    away, possible = np.empty(counts.shape), np.empty(counts.shape)
    for held in _folds(buckets, plan["hours"]):
        rhythm = Rhythm.fit(middle[~held], counts[~held], **plan)
        mean, excess = rhythm.at(middle[held])
        level = stabilised(mean, excess)
        away[held] = stabilised(counts[held], excess) - level
        possible[held] = level - stabilised(np.zeros(mean.shape), excess)
    weekly = settings.alarms_per_week / 4.0 / (7.0 * DAY_S / buckets.bucket_s)
    source, others = slice(SOURCE, SOURCE + 1), slice(SOURCE + 1, None)
    bounds: dict[str, dict[Direction, Bound]] = {}
    for name, own in (("source", source), ("templates", others)):
        quiet = -away[:, own]
        bounds[name] = {
            "burst": _bound(away[:, own], weekly / max(1, away[:, own].shape[1])),
            "quiet": _bound(quiet, weekly / max(1, quiet.shape[1])),
        }
    rate = Rate(
        buckets.bucket_s, buckets.keys, Rhythm.fit(middle, counts, **plan), bounds["source"], bounds["templates"]
    )
    thresholds = {name: {d: own[d].threshold for d in DIRECTIONS} for name, own in bounds.items()}
    least = bounds["source"]["quiet"].threshold
    told = {
        "bucket_s": buckets.bucket_s,
        "rhythm": "flat" if plan["hours"] == 1 else "daily" if plan["classes"] == 1 else "weekdays and weekends",
        "days": round(_days(buckets), 3),
        "buckets": len(buckets),
        "templates": len(buckets.keys),
        "alarms_per_week": settings.alarms_per_week,
        "thresholds": thresholds,
        "silence_rings": float((possible[:, SOURCE] >= least).mean()),
        "training": settings.to_dict(),
    }
    return FittedRate(NAME, told, {STATE: rate.to_json()})


def _buckets(time: Float64, ids: Int64, settings: RateSettings) -> Buckets:
    return buckets_of(
        time, ids, settings.bucket_s, settings.templates, int(settings.max_days * DAY_S / settings.bucket_s)
    )


def _days(buckets: Buckets) -> float:
    """Days that they span, the two that are cut off at the ends included."""
    return (len(buckets) + 2) * buckets.bucket_s / DAY_S


def _plan(buckets: Buckets) -> dict[str, Any]:
    """How fine a rhythm the buckets can show, as ``Rhythm.fit`` takes it."""
    days = _days(buckets)
    if days < RHYTHM_DAYS:
        return {"hours": 1, "classes": 1, "least_excess": FLAT_EXCESS}
    share = weekend(buckets.middle).mean()
    two = days > WEEK_DAYS and min(share, 1.0 - share) * days >= 2.0 - 2.0 * buckets.bucket_s / DAY_S
    return {"hours": HOURS, "classes": 2 if two else 1}


def _folds(buckets: Buckets, hours: int) -> Iterator[Bool]:
    """Which buckets are held out, bool [n] each: whole days (UTC) by turns, of less than two the parts of the log."""
    day: Int64 = np.floor(buckets.middle / DAY_S).astype(np.int64)
    number = np.arange(len(buckets)) * FOLDS // len(buckets) if hours == 1 else day % FOLDS
    for fold in np.unique(number).tolist():
        yield number == fold


def _bound(away: Float64, share: float) -> Bound:
    """From which deviation on at most a ``share`` of normal buckets rings, by held-out ones, float64 [n, series].

    So few that none may have been seen: their tail is taken for exponential beyond the ``TAIL`` largest (peaks over
    threshold; Pickands, Annals of Statistics 3, 1975; Siffer et al., KDD 2017, whose shape is 0 here). A normal tail is
    lighter, so the bound errs upwards; it is never below that of the normal distribution.
    """
    flat = away.ravel()
    normal = NormalDist()
    threshold, scale = normal.inv_cdf(1.0 - min(share, 0.5)), LEAST_SCALE
    if len(flat):
        start = float(np.quantile(flat, 1.0 - TAIL))
        beyond = flat[flat > start] - start
        if len(beyond):
            scale = max(LEAST_SCALE, float(beyond.mean()))
            tail = len(beyond) / len(flat)
            threshold = max(threshold, start + scale * float(np.log(max(1.0, tail / share))))
    return Bound(threshold, scale, min(share, 0.5))
