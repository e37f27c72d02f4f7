"""From buckets to verdicts: what rings, for how long it has, and what people called a false alarm.

Owns the episode: one incident for a series and a direction while it lasts. A rule silences that series and direction.
Does not know where buckets and episodes are stored.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from models.autolog.frames import Frame, frame_name
from models.errors import BundleError
from models.finding import Finding
from models.judging import Judged
from models.rate.detector import SOURCE, STATE, Alarm, Rate
from models.rules import Clause, Rules, digest
from models.sessions import Closing, SessionState
from models.verdict import Verdict

NO_RULES = Rules()
HOLD = 3
"""Buckets after the last one that rang within which the same goes on: a burst that takes breath is one burst."""


@dataclass(frozen=True, slots=True)
class Episodes:
    """What goes on: ``open`` the first and the last bucket that rang, by series and direction; ``at`` the bucket that
    comes next, None where none was judged yet."""

    at: int | None = None
    open: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"at": self.at, "open": self.open}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        return cls(state["at"], {name: (int(began), int(last)) for name, (began, last) in state["open"].items()})


@dataclass(frozen=True, slots=True)
class RateJudge:
    """Judges closed buckets of one source, which come in order."""

    detector: Rate

    @classmethod
    def load(cls, files: Mapping[str, bytes]) -> Self:
        """As training left it. Raises BundleError where the bundle lacks it, or it is damaged."""
        if STATE not in files:
            raise BundleError(f"the bundle lacks {STATE!r}; restore it or train it again")
        return cls(Rate.from_json(files[STATE]))

    def judge(
        self,
        source: str,
        frames: Sequence[Frame],
        before: Episodes,
        text_of: Callable[[int], str],
        rules: Rules = NO_RULES,
        now: float = 0.0,
    ) -> tuple[Judged, Episodes]:
        """Verdicts of what rings in ``frames`` (others get none), in the shape in which the ends of sessions are
        reported, and what goes on after them; ``rules`` silence some at ``now``, seconds.

        The same frames from what went on ``before`` them give the same incidents.
        """
        open_ = dict(before.open)
        at = before.at
        ends: list[Verdict] = []
        findings: list[Finding] = []
        closings: list[Closing] = []
        # Behind a gap, as before the first, nobody counted: a bucket may have begun before counting did.
        whole = [
            frame.chunk == (at if number == 0 else frames[number - 1].chunk + 1) for number, frame in enumerate(frames)
        ]
        for frame, alarms in zip(frames, self.detector.alarms(frames, whole), strict=True):
            chunk = frame.chunk
            open_ = {name: own for name, own in open_.items() if own[0] <= chunk <= own[1] + HOLD}
            for alarm in alarms:
                name = named(alarm)
                began, last = open_.get(name, (chunk, chunk))
                open_[name] = began, max(last, chunk)
                verdict, finding = self._told(source, chunk, began, alarm, text_of, rules, now)
                ends.append(verdict)
                findings += [] if finding is None else [finding]
                start, stop = self._time(chunk), self._time(chunk + 1)
                closings.append(Closing(verdict["session"], SessionState(start, stop, alarm.seen, (), {})))
            at = chunk + 1
        return Judged.of_ends(ends, findings, closings), Episodes(at, open_)

    def _time(self, chunk: int) -> float:
        return chunk * self.detector.bucket_s

    def _told(
        self,
        source: str,
        chunk: int,
        began: int,
        alarm: Alarm,
        text_of: Callable[[int], str],
        rules: Rules,
        now: float,
    ) -> tuple[Verdict, Finding | None]:
        name, own = named(alarm), self.detector
        clause = Clause(own.name, "timeframe", name)
        rule = rules.silencing([clause], now)
        key = alarm.template_id
        verdict: Verdict = {
            "index": None, "kind": "timeframe", "session": frame_name(chunk, own.bucket_s), "template_id": key,
            "template": None if key is None else text_of(key), "novel": False, "anomalous": rule is None,
            "score": alarm.score, "state": "scored", "incident": None, "reasons": [],
        }  # fmt: skip
        if rule is not None:
            verdict["state"], verdict["rule"] = "silenced", rule
            return verdict, None
        reason = {
            "detector": own.name, "raw": alarm.raw, "score": alarm.score, "share": 1.0,
            "series": name, "direction": alarm.direction, "value": alarm.seen, "expected": round(alarm.expected, 2),
            "normal": [alarm.low, alarm.high], "bucket_s": own.bucket_s,
            "began": frame_name(began, own.bucket_s).partition("/")[0],
        }  # fmt: skip
        if key is not None:
            reason |= {"template_id": key, "template": verdict["template"]}
        verdict["reasons"] = [reason]
        verdict["incident"] = digest(source, own.name, name, began)
        cause = digest(own.name, name)
        finding = Finding(verdict, cause, self._time(began), self._time(chunk + 1), (), None, (clause,))
        return verdict, finding


def named(alarm: Alarm) -> str:
    """What rings, in words that stay the same: ``quiet of the source``, ``burst of template 12``."""
    if alarm.template_id is not None:
        return f"{alarm.direction} of template {alarm.template_id}"
    return f"{alarm.direction} of the {'source' if alarm.series == SOURCE else 'rarer templates'}"
