"""DeepLog from normal sessions to what a bundle needs: choose on held-out normals, refit on all of them, export.

Owns the order of these steps and the least amount of data. Does not know bundles, nor the other members.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.deeplog.detector import DeepLog
from models.errors import DataError
from models.graph import Graph
from models.sessions import Float64, Int64
from models.vocabulary import Vocabulary
from training.deeplog.crossfit import Choice, Trial, crossfit, temporal_holdout
from training.deeplog.export import to_onnx
from training.deeplog.fit import Point
from training.deeplog.model import KeyModel
from training.deeplog.settings import DeepLogSettings
from training.onnx import State, state_of, to_safetensors
from training.progress import Progress
from training.windows import distinct


@dataclass(frozen=True, slots=True)
class FittedDeepLog:
    """A trained DeepLog and how it came about.

    ``heldout``: float64 [sessions] arrays ``session``, ``events`` and ``end`` in the order of the sessions given: the
    largest raw output of each, held out or under the final network, over all its events, without its end, and of its
    end alone; NaN
    for a session that was never held out (only with a temporal holdout).
    """

    vocabulary: Vocabulary
    settings: DeepLogSettings
    g: float
    w: float
    state: State
    onnx: bytes
    curve: tuple[Point, ...]
    trials: tuple[Trial, ...]
    heldout: dict[str, Float64]

    def safetensors(self) -> bytes:
        """The weights to fine-tune from."""
        return to_safetensors(self.state)

    def detector(self, provider: str = "cpu", threads: int = 1) -> DeepLog:
        """The detector as the service runs it."""
        return DeepLog.from_graph(self.vocabulary, Graph(self.onnx, provider, threads))


def fit_deeplog(
    sessions: Sequence[Int64],
    settings: DeepLogSettings,
    seed: int,
    progress: Progress | None = None,
    *,
    newest: float | None = None,
) -> FittedDeepLog:
    """Train on normal ``sessions`` (each int64 [length > 0] of template ids, in time order).

    w, g and how long to train are chosen by k-fold cross-fitting, or on the ``newest`` share alone; then the
    network is fitted to all sessions. Raises DataError for fewer sessions than ``settings.min_sessions`` or an
    empty one."""
    if len(sessions) < settings.min_sessions:
        raise DataError(
            f"DeepLog needs at least {settings.min_sessions} normal sessions, got {len(sessions)}; "
            "train on a longer log or leave deeplog out of the detectors"
        )
    if newest is None:
        choice = crossfit(sessions, settings, KeyModel(settings), seed, progress)
    else:
        choice = temporal_holdout(sessions, settings, KeyModel(settings), seed, progress, newest)
    vocabulary = Vocabulary.fit(distinct(sessions).sessions)
    fitting = choice.fitting
    return FittedDeepLog(
        vocabulary=vocabulary,
        settings=settings,
        g=choice.g,
        w=choice.w,
        state=state_of(fitting.network),
        onnx=to_onnx(fitting.network, vocabulary, settings.h, choice.g, settings.rule),
        curve=fitting.curve,
        trials=choice.trials,
        heldout=_aligned(choice, len(sessions)),
    )


def _aligned(choice: Choice, number: int) -> dict[str, Float64]:
    raws = {"session": choice.raws.session, "events": choice.raws.events, "end": choice.raws.end}
    aligned = {name: np.full(number, np.nan) for name in raws}
    for name, raw in raws.items():
        aligned[name][choice.heldout] = raw
    return aligned
