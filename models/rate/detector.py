"""Which series of a bucket have far more lines, or far fewer, than their rhythm leads to expect.

Owns the decision. Does not know how the rhythm and the bounds were learned (``training.rate``), nor rules, nor for how
long something has been so (``judge``).

The series are the source as a whole, its most frequent templates, and the rest together. Each may burst; the source may
go quiet, and a template where its expected count is so large that chance does not make it 0. One cause rings once: what
bursting templates add is no burst of the source; where most templates come more often the source bursts, and of them
those that do so beyond the others; where the source is quiet its templates are not told one by one. A flat rate knows
no night, so that it tells of no template that goes quiet.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Self, get_args

import numpy as np
import orjson

from models.autolog.frames import Frame
from models.errors import BundleError
from models.rate.counting import matrix
from models.rate.rhythm import Rhythm, count_of, stabilised
from models.sessions import Bool, Float64

NAME = "rate"
STATE = "rate.json"

Direction = Literal["burst", "quiet"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
SOURCE = 0
"""Place of the source as a whole among the series; templates follow, and last what is left."""

BURST = 2.0
QUIET = 0.5
"""A burst is at least so many times what is expected, a quiet series has at most such a part of it: less is no cause to
call anybody, however certain it is."""
TELLING = 1.0
"""Expected lines from which on a series tells whether all of them come more often."""


@dataclass(frozen=True, slots=True)
class Bound:
    """From which deviation on a series rings. Of normal buckets a share ``tail`` lies beyond ``threshold``, and of
    those a share 1 - 1 / e within ``scale`` of it."""

    threshold: float
    scale: float
    tail: float

    def score(self, raw: float) -> float:
        """Share of normal buckets that deviate less than ``raw``, which is at least the threshold."""
        return 1.0 - self.tail * math.exp(-(raw - self.threshold) / self.scale)


@dataclass(frozen=True, slots=True)
class Alarm:
    """A series out of its range in one bucket: ``series`` its place, ``template_id`` None of the source and of the
    rest; ``seen`` and ``expected`` counts, ``low`` and ``high`` the least and the largest normal one; ``raw`` how far
    its deviation goes in standard deviations, ``score`` 0 to 1."""

    series: int
    template_id: int | None
    direction: Direction
    seen: int
    expected: float
    low: int
    high: int
    raw: float
    score: float


@dataclass(frozen=True, slots=True)
class Rate:
    """Learned rates of one source. ``keys``: template ids, the most frequent first; ``bounds`` by direction of the
    source, ``template_bounds`` of all others."""

    bucket_s: float
    keys: tuple[int, ...]
    rhythm: Rhythm
    bounds: Mapping[Direction, Bound]
    template_bounds: Mapping[Direction, Bound]

    @property
    def name(self) -> str:
        """Name in verdicts and metrics."""
        return NAME

    def alarms(self, frames: Sequence[Frame], whole: Sequence[bool]) -> list[list[Alarm]]:
        """What rings in each of some buckets; one that is not ``whole``, as counting began within it, is quiet for no
        reason."""
        if not frames:
            return []
        counts = matrix(frames, self.keys)
        middle = (np.array([frame.chunk for frame in frames], dtype=np.float64) + 0.5) * self.bucket_s
        mean, excess = self.rhythm.at(middle)
        return [self._of_bucket(counts[at], mean[at], excess[at], complete) for at, complete in enumerate(whole)]

    def _of_bucket(self, counts: Float64, mean: Float64, excess: Float64, whole: bool) -> list[Alarm]:
        high, low = self._limits(mean, excess)
        bursts = counts >= high
        factor = _factor(counts[1:], mean[1:])
        if bursts[SOURCE] and factor >= BURST:
            shared, _ = self._limits(factor * mean, excess)
            bursts[1:] &= (counts >= shared)[1:]
        else:
            # What the source has beyond the excess of those that burst by themselves.
            added = float((counts - mean)[1:][bursts[1:]].sum())
            bursts[SOURCE] = counts[SOURCE] - added >= high[SOURCE]
        quiets = (counts <= low) & whole
        quiets[-1] = False
        if quiets[SOURCE] or self.rhythm.flat:
            quiets[1:] = False
        rang: list[tuple[Direction, Bool]] = [("burst", bursts), ("quiet", quiets)]
        return [
            self._alarm(series, direction, counts, mean, excess, low, high)
            for direction, which in rang
            for series in np.flatnonzero(which).tolist()
        ]

    def _limits(self, mean: Float64, excess: Float64) -> tuple[Float64, Float64]:
        """The least count of each series that is a burst, and the largest that is quiet (-1: none is), float64 [S]."""
        level = stabilised(mean, excess)
        up, down = (self._thresholds(direction, len(mean)) for direction in DIRECTIONS)
        high = np.ceil(np.maximum(count_of(level + up, excess), BURST * mean))
        low = np.floor(np.minimum(count_of(level - down, excess), QUIET * mean))
        possible: Bool = stabilised(np.zeros(len(mean)), excess) <= level - down
        return np.maximum(high, 1.0), np.where(possible, low, -1.0)

    def _thresholds(self, direction: Direction, series: int) -> Float64:
        found = np.full(series, self.template_bounds[direction].threshold)
        found[SOURCE] = self.bounds[direction].threshold
        return found

    def _alarm(
        self,
        series: int,
        direction: Direction,
        counts: Float64,
        mean: Float64,
        excess: Float64,
        low: Float64,
        high: Float64,
    ) -> Alarm:
        bound = (self.bounds if series == SOURCE else self.template_bounds)[direction]
        away = float((stabilised(counts, excess) - stabilised(mean, excess))[series])
        raw = max(bound.threshold, abs(away))
        template = self.keys[series - 1] if SOURCE < series <= len(self.keys) else None
        return Alarm(
            series, template, direction, int(counts[series]), float(mean[series]), int(low[series]) + 1,
            int(high[series]) - 1, raw, bound.score(raw),
        )  # fmt: skip

    def to_json(self) -> bytes:
        """As a bundle keeps it."""
        state = {
            "bucket_s": self.bucket_s,
            "keys": self.keys,
            "rhythm": self.rhythm.to_dict(),
            "bounds": {name: asdict(bound) for name, bound in self.bounds.items()},
            "template_bounds": {name: asdict(bound) for name, bound in self.template_bounds.items()},
        }
        return orjson.dumps(state)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read back ``to_json``. Raises BundleError where it is damaged."""
        try:
            state = orjson.loads(data)
            keys = tuple(int(key) for key in state["keys"])
            rhythm = Rhythm.from_dict(state["rhythm"])
            bounds, others = (
                {
                    direction: Bound(**{k: float(v) for k, v in state[name][direction].items()})
                    for direction in DIRECTIONS
                }
                for name in ("bounds", "template_bounds")
            )
            bucket_s = float(state["bucket_s"])
            if rhythm.mean.shape[2] != len(keys) + 2 or not 0.0 < bucket_s < math.inf:
                raise ValueError("its series are not those of its rhythm")
            if not all(bound.scale > 0.0 for bound in (*bounds.values(), *others.values())):
                raise ValueError("a bound has no scale")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{STATE} is damaged ({error}); restore the bundle or train it again") from error
        return cls(bucket_s, keys, rhythm, bounds, others)


def _factor(counts: Float64, mean: Float64) -> float:
    """How many times as often as expected half of the series come at least, of those that tell."""
    tells = mean >= TELLING
    ratio = np.sort(counts[tells] / mean[tells])
    return float(ratio[(len(ratio) - 1) // 2]) if len(ratio) else 1.0
