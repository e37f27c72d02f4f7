"""DeepLog's decision on numbers: how far is a line's value vector from what its template's earlier lines let expect?

Owns the rules, the check of constants, and the explanation. Does not know how the prediction comes about (an ONNX
graph, a network in training), nor where earlier vectors are kept.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal, Protocol, Self, cast, get_args

import numpy as np
from numpy.typing import NDArray

from models.deeplog_values import layout
from models.deeplog_values.layout import ELAPSED, Position
from models.deeplog_values.limits import FIRST, KINDS, LEVELS, MEAN, NEXT, SIDES, Limits, of_reach
from models.errors import BundleError
from models.graph import Graph
from models.sessions import Bool, Float64, Int64


class Network(Protocol):
    """A ``Graph``, or a network still in training."""

    def run(self, *, key: Int64, history: Float64, length: Int64, values: Float64) -> list[NDArray[Any]]:
        """Error float32 [n], deviation and prediction float32 [n, width]; see ``network.ValueLSTM.forward``."""


Rule = Literal["quantile", "gaussian"]
"""``quantile``: each number has its own normal range, the strangest one counts; ``gaussian``: the paper's interval of
the mean squared error."""

NO_MODEL = -1
_AGAINST = ("prediction", "prediction", "mean")
# Events in one call of the network, sorted by the length of their history: most have little.
_SLICE = 512


@dataclass(frozen=True, slots=True)
class TemplateValues:
    """What is known of one template's vectors.

    ``positions``: the elapsed time first; ``limits`` float64 [positions, KINDS, SIDES, LEVELS]: how far each number may
    be off (``models.deeplog_values.limits``), in standard deviations; ``mu`` and ``sigma`` of the mean squared error on
    normal vectors that the network had not learned from.
    """

    positions: tuple[Position, ...]
    limits: Float64
    mu: float
    sigma: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "positions": [position.to_dict() for position in self.positions],
            "limits": self.limits.tolist(),
            "mu": self.mu,
            "sigma": self.sigma,
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        positions = tuple(Position.from_dict(position) for position in state["positions"])
        older = "limits" not in state
        limits = np.array(state["reach" if older else "limits"], dtype=np.float64)
        if older:
            limits = of_reach(limits)
        if limits.shape != (len(positions), KINDS, SIDES, len(LEVELS)):
            raise ValueError(f"limits of shape {limits.shape} for {len(positions)} positions")
        if not (limits > 0.0).all() or not (np.diff(limits, axis=3) >= 0.0).all():
            raise ValueError("limits not above 0, or such that fall as the raw output rises")
        return cls(positions, limits, float(state["mu"]), float(state["sigma"]))


@dataclass(frozen=True, slots=True)
class Measured:
    """How far n vectors are off, in standard deviations, float64 [n, width], NaN where there is no number: from
    ``prediction``, and from ``mean``; ``seen`` bool [n, width], which numbers the history has; the mean squared
    ``error`` float64 [n]."""

    prediction: Float64
    mean: Float64
    seen: Bool
    error: Float64


@dataclass(frozen=True, slots=True)
class _Judged:
    """n vectors judged: the part of each cell in the raw output, ``cells`` float64 [n, width] (NaN where nothing was
    read), and the ``kind`` of limit int64 [n, width] that it is strangest by; ``expected`` float64 [n, width]: the
    network's prediction, in standard deviations."""

    raw: Float64
    cells: Float64
    kind: Int64
    measured: Measured
    expected: Float64


class DeepLogValues:
    """How strange a value vector is; anomalous, at confidence c, iff the raw output reaches 1.

    Rule ``quantile``: the strangest of the numbers read counts, as one broken number among many would be averaged away,
    and each by the stranger of two deviations: from the prediction, and from the mean, as a prediction follows a slow
    drift.
    A share (1 - c) / raw of normal lines has such a raw output or more. Training spends these false alarms where they
    catch most faults: limits are close where a number has a short tail, and far where close ones would ring all the
    time. They are quantiles of held-out deviations and not multiples of sigma, as pauses and durations are far from
    Gaussian; each side has its own. What the history has is predicted better than what it has not, so either has its
    own limits.

    Rule ``gaussian``, the paper's (section 3.2): raw = e / tau, where e is the mean squared error over the numbers
    read and tau = mu + sigma Phi^-1((1 + c) / 2) of the template's held-out e; the upper bound alone, as too small an
    error is no anomaly.

    Raw outputs of all templates compare. Under both rules a number that training saw with one value only is compared
    with it: the chance of another value is 1 / (n + 2) after n samples by the rule of succession, and its raw output is
    (1 - c) times n + 2. Of the elapsed time there is no such check.

    A vector of which nothing can be read has no judgement, nor has a template without a model.
    """

    name = "deeplog_values"

    def __init__(
        self,
        templates: Mapping[int, TemplateValues],
        without: Mapping[int, int],
        window: int,
        confidence: float,
        rule: Rule,
        network: Network,
    ) -> None:
        """``templates`` by id, in the order in which the network knows them; ``without``: samples of each template
        that has no model; ``window``: vectors of history."""
        self.templates = dict(templates)
        self.without = dict(without)
        self.window = window
        self.confidence = confidence
        self.rule = rule
        self._network = network
        self.width = max((len(template.positions) for template in templates.values()), default=1)
        self._index = np.full(max(templates, default=0) + 1, NO_MODEL, dtype=np.int64)
        self._index[np.array(list(templates), dtype=np.int64)] = np.arange(len(templates))
        shape = len(templates), self.width
        self._predicted = np.zeros(shape, dtype=np.bool_)
        self._constant = np.full(shape, np.nan)
        self._broken = np.zeros(shape)
        limits = np.ones((*shape, KINDS, SIDES, len(LEVELS)))
        spread = NormalDist().inv_cdf((1.0 + confidence) / 2.0)
        self._tau = np.ones(len(templates))
        self._wanted: dict[int, dict[layout.Place, int]] = {}
        for row, (key, template) in enumerate(templates.items()):
            limits[row, : len(template.positions)] = template.limits
            self._tau[row] = max(template.mu + spread * template.sigma, float(np.finfo(np.float32).tiny))
            self._wanted[key] = {p.place: column for column, p in enumerate(template.positions[1:])}
            for column, position in enumerate(template.positions):
                self._predicted[row, column] = position.predicted
                if position.constant is not None:
                    self._constant[row, column] = position.constant
                    self._broken[row, column] = (1.0 - confidence) * (position.samples + 2)
        self._limits = Limits(limits)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any], graph: Graph) -> Self:
        """From the state and the graph that training exported. Raises BundleError where either is damaged, or they
        are not of one training."""
        if graph.metadata.get("fingerprint") != state.get("fingerprint") or "fingerprint" not in state:
            raise BundleError("deeplog_values: graph and state are of different trainings; restore the bundle")
        try:
            rule = state["rule"]
            if rule not in get_args(Rule):
                raise BundleError(
                    f"deeplog_values: rule {rule!r} is not known to this Tocsin; upgrade it to use this bundle"
                )
            window, confidence = int(state["h"]), float(state["confidence"])
            templates = {int(key): TemplateValues.from_dict(own) for key, own in state["templates"].items()}
            without = {int(key): int(samples) for key, samples in state["without"].items()}
            if window < 1 or not 0.0 < confidence < 1.0 or min(templates, default=0) < 0:
                raise ValueError(f"h {window}, confidence {confidence}")
            return cls(templates, without, window, confidence, cast("Rule", rule), graph)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise BundleError(f"deeplog_values: the state is damaged ({error!r}); restore the bundle") from error

    def to_dict(self) -> dict[str, Any]:
        """All but the network and the fingerprint."""
        return {
            "h": self.window,
            "confidence": self.confidence,
            "rule": self.rule,
            "templates": {str(key): template.to_dict() for key, template in self.templates.items()},
            "without": {str(key): samples for key, samples in self.without.items()},
        }

    def reads(self, keys: Int64) -> Bool:
        """Which of ``keys`` int64 [k] have a model, bool [k]."""
        return np.asarray(self._rows(keys) != NO_MODEL)

    def read(self, key: int, tokens: Sequence[str], message: str) -> Float64:
        """The numbers of a raw message of template ``key`` (its ``tokens`` as they are now), float64 [width - 1]: NaN
        where one is missing, no number, or there is none."""
        wanted = self._wanted.get(key)
        if not wanted:
            return np.full(self.width - 1, np.nan)
        return layout.read(wanted, tokens, message, self.width - 1)

    def score_values(self, keys: Int64, history: Float64, values: Float64) -> Float64:
        """Raw outputs float64 [k] of ``values`` float64 [k, width] (seconds since the session's previous event first)
        after ``history`` float64 [k, window, width], the template's vectors before it in the session, oldest first,
        NaN where there is nothing. NaN for a key without a model and for a vector without a number."""
        raw = np.full(len(keys), np.nan)
        rows = self._rows(keys)
        known = np.flatnonzero(rows != NO_MODEL)
        if len(known):
            raw[known] = self._judge(rows[known], history[known], values[known]).raw
        return raw

    def explain(self, key: int, history: Float64, values: Float64) -> dict[str, Any]:
        """Which number broke, and what would have been normal; ``history`` float64 [window, width], ``values`` float64
        [width].

        ``values`` lists what was read, the strangest first: ``feature`` (the mask, ``*`` or ``elapsed``), ``token``
        and ``ordinal`` of its place in the template, ``observed``, ``expected``, the ``normal`` range in original
        units, what it is strangest ``against`` (``prediction``, ``mean`` or ``constant``), and its ``raw`` output; the
        first one's are repeated on top. ``contribution``: its share of the squared error. A template without a model:
        ``samples``, and how many are ``needed``.
        """
        if not self.reads(np.array([key], dtype=np.int64))[0]:
            return {
                "template_id": key, "model": False, "samples": self.without.get(key, 0), "needed": self.window + 2,
            }  # fmt: skip
        rows = self._rows(np.array([key], dtype=np.int64))
        judged = self._judge(rows, history[None], values[None])
        off = np.nan_to_num(judged.measured.prediction[0])
        squares = np.square(off)
        low, high = self._range(int(rows[0]), judged)
        told = [
            {
                **_told(position, float(values[column]), float(judged.expected[0, column]), low[column], high[column]),
                "against": _AGAINST[int(judged.kind[0, column])] if position.constant is None else "constant",
                "raw": float(judged.cells[0, column]),
                "contribution": float(squares[column] / max(squares.sum(), np.finfo(np.float64).tiny)),
            }
            for column, position in enumerate(self.templates[key].positions)
            if not np.isnan(judged.cells[0, column])
        ]
        told.sort(key=lambda one: -one["raw"])
        elapsed = float(values[0])
        return {
            "template_id": key,
            "model": True,
            **({} if not told else told[0]),
            "elapsed_s": None if math.isnan(elapsed) else elapsed,
            "history": int((~np.isnan(history)).any(axis=1).sum()),
            "error": float(np.nan_to_num(judged.measured.error[0])),
            "tau": float(self._tau[rows[0]]),
            "rule": self.rule,
            "confidence": self.confidence,
            "values": told,
        }

    def measure(self, keys: Int64, history: Float64, values: Float64) -> Measured:
        """What normal ranges are made of. All of ``keys`` have a model."""
        return self._measure(self._rows(keys), _bounded(history), _bounded(values))[0]

    def _rows(self, keys: Int64) -> Int64:
        beyond = (keys < 0) | (keys >= len(self._index))
        return np.where(beyond, NO_MODEL, self._index[np.where(beyond, 0, keys)])

    def _judge(self, rows: Int64, history: Float64, values: Float64) -> _Judged:
        values, history = _bounded(values), _bounded(history)
        measured, expected = self._measure(rows, history, values)
        finite = ~np.isnan(values)
        predicted = ~np.isnan(measured.prediction)
        constant = self._constant[rows]
        checked = ~np.isnan(constant) & finite
        broken = np.where(checked & (values != constant), self._broken[rows], 0.0)
        kind = np.where(measured.seen, NEXT, FIRST)
        if self.rule == "quantile":
            own = self._limits.raws(rows, kind, measured.prediction)
            of_mean = self._limits.raws(rows, MEAN, measured.mean)
            kind, own = np.where(of_mean > own, MEAN, kind), np.maximum(own, of_mean)
        else:
            # The part of each number in e; all of them together are e.
            share = np.maximum(predicted.sum(axis=1), 1)[:, None] * self._tau[rows][:, None]
            own = np.square(np.nan_to_num(measured.prediction)) / share
        cells = np.where(predicted, own, np.where(checked, broken, np.nan))
        read = predicted | checked
        whole = np.where(predicted, own, 0.0)
        raw = np.maximum(whole.max(axis=1) if self.rule == "quantile" else whole.sum(axis=1), broken.max(axis=1))
        return _Judged(np.where(read.any(axis=1), raw, np.nan), cells, kind, measured, expected)

    def _range(self, row: int, judged: _Judged) -> tuple[list[float], list[float]]:
        """Ends of the normal range of each number of one vector, in standard deviations."""
        expected = judged.expected[0]
        if self.rule == "quantile":
            below, above = self._limits.normal(row, np.where(judged.measured.seen[0], NEXT, FIRST))
            least, most = self._limits.normal(row, MEAN)
            low, high = np.maximum(expected - below, -least), np.minimum(expected + above, most)
            high = np.maximum(low, high)
        else:
            read = int((~np.isnan(judged.measured.prediction[0])).sum())
            reach = np.full(self.width, math.sqrt(read * float(self._tau[row])))
            low, high = expected - reach, expected + reach
        return low.tolist(), high.tolist()

    def _measure(self, rows: Int64, history: Float64, values: Float64) -> tuple[Measured, Float64]:
        """How far off, and the prediction. The network is asked in the order of the length of the history:
        short ones make cheap calls."""
        there: Bool = np.asarray(~np.isnan(history).all(axis=2))
        steps = history.shape[1]
        # A gap between two vectors stays; what is before the first is taken off.
        length = np.where(there.any(axis=1), steps - np.argmax(there, axis=1), 0).astype(np.int64)
        shift = np.minimum(np.arange(steps)[None, :] + (steps - length)[:, None], steps - 1)
        left = np.take_along_axis(history, shift[:, :, None], axis=1)
        order = np.argsort(length, kind="stable")
        error = np.empty(len(rows))
        off, expected = np.empty(values.shape), np.empty(values.shape)
        read = self._predicted[rows] & ~np.isnan(values)
        for start in range(0, len(order), _SLICE):
            part = order[start : start + _SLICE]
            longest = max(1, int(length[part[-1]]))
            given = np.ascontiguousarray(left[part, :longest])
            found = self._network.run(key=rows[part], history=given, length=length[part], values=values[part])
            error[part], off[part], expected[part] = found
        off = np.where(read, off, np.nan)
        seen: Bool = np.asarray((~np.isnan(history)).any(axis=1))
        error = np.where(read.any(axis=1), error, np.nan)
        return Measured(off, off + expected, seen, error), expected


def _told(position: Position, observed: float, prediction: float, least: float, most: float) -> dict[str, Any]:
    """One number in original units, given its prediction and normal range in standard deviations."""
    place = {} if position.mask == ELAPSED else {"token": position.token, "ordinal": position.ordinal}
    if position.constant is not None:
        expected = low = high = position.constant
    else:
        expected, low, high = (position.original(at) for at in (prediction, least, most))
        if position.unit:
            # A logarithm is taken of what training never saw below zero.
            expected, low = max(0.0, expected), max(0.0, low)
    return {"feature": position.mask, **place, "observed": observed, "expected": expected, "normal": [low, high]}


def _bounded(values: Float64) -> Float64:
    """Infinity is no number; a pause below zero is a line out of order."""
    found = np.where(np.isfinite(values), values, np.nan)
    found[..., 0] = np.maximum(found[..., 0], 0.0)
    return found
