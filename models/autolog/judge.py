"""From the raw outputs of timeframes to verdicts on them: one detector, its calibration, its threshold, and rules.

Owns the decision, and what makes two strange frames the same. Timeframes stand beside sessions, not among them, so they
have no part in the ensemble's evidence. Does not know what a frame counts, nor what becomes of a verdict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.autolog.detector import AutoLog
from models.autolog.frames import Frame
from models.calibration import Calibration
from models.errors import BundleError
from models.graph import Graph
from models.lesson import Lesson
from models.rules import Clause, Rules, digest
from models.sessions import Bool, Float64

NO_RULES = Rules()
LESSON_TERMS = 5_000
"""A frame of more terms, all entities together, is too large to be kept beside its incident."""


@dataclass(frozen=True, slots=True)
class Ringing:
    """Why one frame rings, what would silence it (the same entities, up to its raw output), and what there is to
    learn from it: None of one too large to be kept."""

    because: dict[str, Any]
    clause: Clause
    lesson: Lesson | None


@dataclass(frozen=True, slots=True)
class FrameJudgement:
    """Verdicts of k frames: ``raw`` float64 [k], ``score`` float64 [k] in 0..1, ``anomalous`` bool [k]; of frames by
    their place, ``ringing`` those that are anomalous, and ``silenced`` the rule without which one would be."""

    raw: Float64
    score: Float64
    anomalous: Bool
    ringing: Mapping[int, Ringing]
    silenced: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class FrameJudge:
    """A frame is anomalous iff its raw output reaches ``threshold`` and no rule silences it; its score is the share of
    held-out normal frames with a smaller one."""

    detector: AutoLog
    calibration: Calibration
    threshold: float

    @classmethod
    def load(
        cls, settings: Mapping[str, Any], files: Mapping[str, bytes], provider: str = "cpu", threads: int = 1
    ) -> "FrameJudge":
        """AutoLog as training left it: ``settings`` from the manifest, ``autolog.onnx`` and ``autolog.json`` from the
        bundle. Raises BundleError saying what is missing, damaged or another's."""
        try:
            graph, state = files["autolog.onnx"], files["autolog.json"]
            threshold = float(settings["threshold"])
            calibration = Calibration.from_dict(settings["calibration"])
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"autolog: the bundle lacks {error}; restore it or train it again") from error
        return cls(AutoLog.from_graph(state, Graph(graph, provider, threads)), calibration, threshold)

    def judge(self, frames: Sequence[Frame], rules: Rules = NO_RULES, now: float = 0.0) -> FrameJudgement:
        """Judge frames, each as it would be in any company; ``rules`` silence some at ``now``, seconds."""
        raw = self.detector.score_frames([frame.counts for frame in frames])
        anomalous = raw >= self.threshold
        ringing: dict[int, Ringing] = {}
        silenced: dict[int, str] = {}
        for at in np.flatnonzero(anomalous).tolist():
            found = self._ringing(frames[at], float(raw[at]))
            rule = rules.silencing([found.clause], now)
            if rule is None:
                ringing[at] = found
            else:
                silenced[at] = rule
                anomalous[at] = False
        return FrameJudgement(raw, self.calibration.score(raw), anomalous, ringing, silenced)

    def _ringing(self, frame: Frame, raw: float) -> Ringing:
        because = {**self.detector.explain(frame.counts), "lines": frame.lines, "threshold": self.threshold}
        leading = because["new_entities"] or because["entities"][:1]
        names = sorted(entity["entity"] for entity in leading)
        clause = Clause(self.detector.name, "timeframe", digest(*names), raw, raw)
        small = sum(map(len, frame.counts.values())) <= LESSON_TERMS
        return Ringing(because, clause, Lesson(self.detector.name, {"frame": frame.counts}) if small else None)

    def lesson_raws(self, lessons: Sequence[Lesson]) -> Float64:
        """Raw output of each lesson that is about a timeframe, float64 [k]; NaN of the others."""
        raws = np.full(len(lessons), np.nan)
        at = [i for i, lesson in enumerate(lessons) if lesson.detector == self.detector.name]
        if at:
            raws[at] = self.detector.score_frames([lessons[i].seen["frame"] for i in at])
        return raws
