"""An invented source whose lines follow the hour of the day: counts by bucket, and lines that have them."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from models.autolog.frames import Frame
from models.rate.counting import EVERYTHING
from models.sessions import Float64
from models.source.config import Source
from training.rate.buckets import Buckets

BUCKET_S = 300.0
DAY = 288
"""Buckets of a day."""
FIRST = 1_714_521_600 // 300
"""2024-05-01T00:00:00Z, a Wednesday."""
SHARES = np.array([0.5, 0.25, 0.15, 0.05, 0.04, 0.01])
"""Of the lines, of five templates and of what is left."""
KEYS = (11, 12, 13, 14, 15)


def expected(first: int, size: int, peak: float = 200.0) -> Float64:
    """Mean of all lines in buckets, float64 [size]: ``peak`` at three in the afternoon, a twentieth of it at night."""
    hour = ((first + np.arange(size) + 0.5) * BUCKET_S % 86_400) / 3600
    mean: Float64 = peak * (0.525 - 0.475 * np.cos((hour - 3) / 24 * 2 * np.pi))
    return mean


def buckets(days: float, seed: int, first: int = FIRST, peak: float = 200.0, spread: float = 0.0) -> Buckets:
    """Poisson counts about the rhythm; ``spread``: overdispersion beside that, the same for all series of a bucket."""
    random = np.random.default_rng(seed)
    size = int(days * DAY)
    mean = expected(first, size, peak)
    if spread:
        mean = mean * random.gamma(1 / spread, spread, size)
    counts = random.poisson(mean[:, None] * SHARES).astype(np.float64)
    return Buckets(first, BUCKET_S, KEYS, np.concatenate([counts.sum(axis=1, keepdims=True), counts], axis=1))


def changed(
    given: Buckets, start: int, stop: int, factor: float, series: int | None = None, peak: float = 200.0
) -> Buckets:
    """With counts drawn about so many times the mean in buckets ``start`` to ``stop`` (places), of one series (its
    column) or of all."""
    counts = given.counts.copy()
    columns = range(1, counts.shape[1]) if series is None else [series]
    mean = expected(given.first + start, stop - start, peak)
    random = np.random.default_rng([start, int(given.counts.sum())])
    for column in columns:
        counts[start:stop, column] = random.poisson(factor * SHARES[column - 1] * mean)
    counts[:, 0] = counts[:, 1:].sum(axis=1)
    return replace(given, counts=counts)


def frames(given: Buckets) -> list[Frame]:
    """As they are closed."""
    rest = 999
    return [
        Frame(
            given.first + at,
            int(row[0]),
            {EVERYTHING: {str(k): int(n) for k, n in zip((*given.keys, rest), row[1:].tolist(), strict=True) if n}},
        )
        for at, row in enumerate(given.counts)
    ]


def lines(given: Buckets, words: tuple[str, ...]) -> Iterator[str]:
    """Log lines with these counts, each series with its own of ``words``, evenly through the bucket; one session (of
    four lines) follows the other."""
    number = 0
    for at, row in enumerate(given.counts):
        own = [word for word, count in zip(words, row[1:].astype(int).tolist(), strict=True) for _ in range(count)]
        for place, word in enumerate(own):
            time = (given.first + at) * BUCKET_S + place * BUCKET_S / len(own)
            stamp = dt.datetime.fromtimestamp(time, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            yield f"{stamp} run-{number // 4} {word}"
            number += 1


WORDS = ("order placed", "parcel packed", "money taken", "stock counted", "letter written", "shelf repaired")
"""What the templates' lines say, the most frequent first."""


def source() -> Source:
    """A run is a session."""
    return Source.from_dict(
        {
            "name": "depot",
            "header": {"kind": "regex", "pattern": r"^(?P<timestamp>\S+) (?P<run>\S+) (?P<message>.*)$"},
            "timestamp": {"formats": ["%Y-%m-%dT%H:%M:%S%.fZ"]},
            "session": {"fields": ["run"]},
            "idle_s": 600.0,
            "lateness_s": 60.0,
        }
    )
