"""What training looked like, so that the service can tell how far it has moved: templates, and scores of normals.

Owns what a bundle keeps of it (``metrics["reference"]`` of the manifest) and the bins. Does not know how bins are
compared (``stability``), nor over what time they are counted (``window``).

Scores are the ensemble's evidence of held-out normal sessions and not its calibrated score, which is the same thing
through a monotone function: bins hold the same sessions either way. Nine in ten of those evidences are exactly 0, so
deciles alone would be one bin. Edges are the distinct values among the deciles and the 95th and 99th percentiles, and a
bin ends with its edge: all that equals an edge lies in one bin, zero in the first. A last bin takes what lies above.

How much is usual: the service looks at an hour or a few thousand lines, and logs have busy and quiet hours, backups at
night, deletions in bulk. (On the HDFS set at ``--train-share 0.6`` the templates of one stretch lie PSI 5.9 from those
of the others.) So training, too, is cut into stretches of that length, each is compared with all the others, and the
farthest one's PSI is kept beside the counts: only what goes beyond it is news.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from models.drift.stability import SMALLEST, psi
from models.drift.window import ENOUGH_LINES, ENOUGH_SESSIONS, SPAN_S
from models.sessions import Float64, Int64

KEPT = 1_000
"""Templates that a bundle counts one by one, the most frequent."""
LEAST_SHARE = 0.01
"""Rarer templates share a bin: some hundred bins at most, so that 5,000 lines are enough to fill them."""
QUANTILES = (*(tenth / 10 for tenth in range(1, 10)), 0.95, 0.99)


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Training in numbers.

    ``templates``: id -> events of training sessions, of the ``KEPT`` most frequent; ``rest``: events of all others;
    ``edges`` float64 [k], increasing upper edges of evidence; ``shares`` float64 [k + 1], of the ``sessions`` held-out
    normal ones: up to each edge, and above the last; ``usual_templates`` and ``usual_scores``: the largest PSI of a
    stretch of training against the rest of it, 0 where there is but one.
    """

    templates: Mapping[int, int]
    rest: int
    edges: Float64
    shares: Float64
    sessions: int
    usual_templates: float = 0.0
    usual_scores: float = 0.0

    @classmethod
    def fit(cls, keys: Sequence[Int64], times: Sequence[Float64], evidence: Float64) -> Self:
        """From the template ids, int64 [length], and times in seconds, float64 [length], of the events of each of n
        normal sessions, n and every length at least 1, and their evidence while held out, float64 [n]."""
        every = np.concatenate(keys)
        ids, counts = np.unique(every, return_counts=True)
        # The most frequent; of equals those with the smaller id.
        kept = np.sort(np.lexsort((ids, -counts))[:KEPT])
        templates = dict(zip(ids[kept].tolist(), counts[kept].tolist(), strict=True))
        edges = np.unique(np.quantile(evidence, QUANTILES, method="inverted_cdf"))
        found = np.bincount(_bins(edges, evidence), minlength=len(edges) + 1)
        rest = len(every) - sum(templates.values())
        bare = cls(templates, rest, edges, found / len(evidence), len(evidence))
        bins = TemplateBins(bare, ids.tolist())
        when = np.concatenate(times)
        mixes = [bins.count(every[part]) for part in _stretches(when, ENOUGH_LINES)]
        ends = np.array([own[-1] for own in times], dtype=np.float64)
        scores = [bare.count_scores(evidence[part]) for part in _stretches(ends, ENOUGH_SESSIONS)]
        return replace(bare, usual_templates=_usual(mixes), usual_scores=_usual(scores))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "templates": {str(key): count for key, count in self.templates.items()},
            "rest": self.rest,
            "scores": {"edges": self.edges.tolist(), "shares": self.shares.tolist(), "sessions": self.sessions},
            "usual": {"templates": self.usual_templates, "scores": self.usual_scores},
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        scores = state["scores"]
        return cls(
            {int(key): int(count) for key, count in state["templates"].items()},
            int(state["rest"]),
            np.array(scores["edges"], dtype=np.float64),
            np.array(scores["shares"], dtype=np.float64),
            int(scores["sessions"]),
            float(state["usual"]["templates"]),
            float(state["usual"]["scores"]),
        )

    def count_scores(self, evidence: Float64) -> Int64:
        """How many of some sessions' evidences, float64 [n], lie in each bin, int64 [k + 1]."""
        counts: Int64 = np.bincount(_bins(self.edges, evidence), minlength=len(self.shares)).astype(np.int64)
        return counts

    def score_psi(self, counts: Int64) -> float:
        """PSI of sessions counted by ``count_scores`` against training. So few sessions as training held out cannot
        show a share below 1 / (sessions + 1)."""
        return psi(self.shares, counts, max(SMALLEST, 1.0 / (self.sessions + 1)))


class TemplateBins:
    """Bins of templates: one for each that held ``LEAST_SHARE`` of training's events or more, the rarer ones joined in
    order of their ids until they do (templates of one part of a program are often mined together), one for the rest,
    and a last one for templates that training did not see."""

    def __init__(self, reference: Reference, known: Collection[int]) -> None:
        """``known``: ids of the bundle's vocabulary; those that ``reference`` does not count are the rest's."""
        total = sum(reference.templates.values()) + reference.rest
        least = LEAST_SHARE * total
        expected: list[int] = []
        place: dict[int, int] = {}
        joined: list[int] = []
        for key, count in sorted(reference.templates.items()):
            if count >= least:
                place[key] = len(expected)
                expected.append(count)
                continue
            joined.append(key)
            together = sum(reference.templates[member] for member in joined)
            if together >= least:
                place |= dict.fromkeys(joined, len(expected))
                expected.append(together)
                joined = []
        rest = len(expected)
        place |= dict.fromkeys(joined, rest)
        expected += [reference.rest + sum(reference.templates[key] for key in joined), 0]
        self.expected = np.array(expected, dtype=np.int64)
        """Events of training in each bin, int64 [k]."""
        # Ids beyond the largest are new: the last place stands for all of them.
        self._bin_of = np.full(max([-1, *place, *known]) + 2, rest + 1, dtype=np.int64)
        self._bin_of[list(known)] = rest
        self._bin_of[list(place)] = list(place.values())
        self._smallest = max(SMALLEST, 1.0 / (total + 1))

    def count(self, keys: Int64) -> Int64:
        """How many of some events' template ids, int64 [n], at least 0, lie in each bin, int64 [k]."""
        bins = self._bin_of[np.minimum(keys, len(self._bin_of) - 1)]
        counts: Int64 = np.bincount(bins, minlength=len(self.expected)).astype(np.int64)
        return counts

    def psi(self, counts: Int64) -> float:
        """PSI of events counted by ``count`` against training."""
        return psi(self.expected, counts, self._smallest)


def _bins(edges: Float64, evidence: Float64) -> Int64:
    bins: Int64 = np.searchsorted(edges, evidence, side="left").astype(np.int64)
    return bins


def _stretches(times: Float64, least: int) -> Iterator[Int64]:
    """Places of ``times`` (seconds, in any order) in stretches of an hour or ``least`` events, whichever is longer, in
    time order; what is left at the end is too short to be one."""
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    start = 0
    while start < len(order):
        stop = max(start + least, int(np.searchsorted(ordered, ordered[start] + SPAN_S)))
        if start + least > len(order):
            return
        yield order[start:stop]
        start = stop


def _usual(stretches: Sequence[Int64]) -> float:
    """The largest PSI of a stretch, counts int64 [k], against all the others."""
    if len(stretches) < 2:
        return 0.0
    total = np.sum(stretches, axis=0)
    return max(psi(total - counts, counts) for counts in stretches)
