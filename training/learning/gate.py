"""What a candidate has to show before it may go live, beside the version that is.

Owns the questions and the figures behind the answers: does every false alarm that people fed back pass; does every
anomaly that they confirmed or pointed out ring as it did; do no more of the normal training windows ring than before;
does live traffic that the live version judged normal stay quiet. That each graph says what its network says was checked
when it was exported (``training.onnx``). Pure: no storage, no clock.

Of live traffic nothing may ring that was quiet (``traffic``: no rule silenced it, and it shows no real anomaly). That
is asked of what teaching rehearsed, and of the fifth of all distinct windows that it never sees, and both times the
answer has to be none: an alarm that falls silent makes no room for a new one. A candidate that cannot show it is turned
back; its answers stay rules, which are as quiet, and are tried again with the next ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.bundle import Bundle
from models.diff import without_peaks
from models.judge import Judge
from models.members.event import KeyMember
from models.sample import REPLAY, Sample
from models.sessions import Bool, Int64
from models.spool.layout import Layout
from models.spool.reader import Spooled
from models.vocabulary import END
from training.learning.answers import Answer
from training.learning.candidate import still_rings
from training.learning.traffic import normal_traffic
from training.rehearsal import held_windows

SLACK = 1e-9
"""Evidence that is equal up to rounding is no loss."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether a candidate ``passed``, ``reasons`` where it did not, and ``figures`` of both versions, plain JSON."""

    passed: bool
    reasons: tuple[str, ...]
    figures: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As a manifest keeps it."""
        return {"passed": self.passed, "reasons": list(self.reasons), "figures": self.figures}


def judge_candidate(live: Bundle, candidate: Bundle, answers: Sequence[Answer], spooled: Spooled | None = None) -> Gate:
    """Compare two versions on ``answers`` (every false alarm that the candidate says it learned, every real or missed
    anomaly that stands), on the training windows that the bundle carries, and on ``spooled`` traffic."""
    old, new = live.judge(), candidate.judge()
    reasons: list[str] = []
    rings = [answer.id for answer in answers if answer.false_alarm and still_rings(candidate, new, answer)]
    reasons += [f"false alarm {name} still rings" for name in rings]
    lost = [answer.id for answer in answers if not answer.false_alarm and _lost(live, candidate, old, new, answer)]
    reasons += [f"protected case {name} would fall silent" for name in lost]
    figures: dict[str, Any] = {
        "false_alarms": sum(answer.false_alarm for answer in answers),
        "protected": sum(not answer.false_alarm for answer in answers),
    }
    for where, (rows, before, after) in _held(live, old, new, answers, spooled).items():
        figures[where] = {"events": rows, "live": before, "candidate": after}
        if after > before:
            reasons.append(f"{where}: {after} of {rows} would ring, {before} do by the live version")
    return Gate(not reasons, tuple(reasons), figures)


def _lost(live: Bundle, candidate: Bundle, old: Judge, new: Judge, answer: Answer) -> bool:
    """Whether a case rings less than it has to: as much as by the live version, or enough to ring."""
    evidence = old.lesson_evidence(answer.lessons)
    if new.lesson_evidence(answer.lessons) < min(new.ensemble.threshold, evidence) - SLACK:
        return True
    frames, before = candidate.frame_judge(), live.frame_judge()
    if frames is None or before is None:
        return False
    rang = before.lesson_raws(answer.lessons) >= before.threshold
    return bool((rang & ~(frames.lesson_raws(answer.lessons) >= frames.threshold)).any())


def _held(
    live: Bundle, old: Judge, new: Judge, answers: Sequence[Answer], spooled: Spooled | None
) -> dict[str, tuple[int, int, int]]:
    """By name of what is held against both: how many normal events there are, and how many ring by each."""
    found = {}
    if REPLAY in live.files:
        sample = Sample.read(live.files[REPLAY])
        rings = [_by_keys(judge, sample.history, sample.key) for judge in (old, new)]
        kept = held_windows(sample.history[:, sample.history.shape[1] - old.width :], sample.key)
        found["training windows"] = _alarms(sample.count, *rings)
        found["windows kept from teaching"] = _alarms(np.where(kept, sample.count, 0), *rings)
    if spooled is None or not len(spooled):
        return found
    traffic = normal_traffic(old, spooled, answers)
    # Peaks are outputs of the version that judged then: each end is judged by what it shows to either version.
    ends = new.closings(without_peaks(spooled.closings)).anomalous
    loud = np.concatenate([new.rows(spooled.rows(Layout.needed(new))).anomalous, ends])
    counts = np.concatenate([spooled.counts, spooled.end_counts])
    ended = np.arange(len(counts)) >= traffic.events
    quiet = np.zeros(len(counts), dtype=np.bool_)
    for what, own in (("spooled events", ~ended), ("spooled sessions", ended)):
        for where, part in ((what, ~traffic.held), (f"{what} kept from teaching", traffic.held)):
            found[where] = _alarms(np.where(own & part & traffic.normal, counts, 0), quiet, loud)
    return found


def _by_keys(judge: Judge, history: Int64, key: Int64) -> Bool:
    """Which windows ring by what the members that read keys alone make of them."""
    members = [member for member in judge.events if isinstance(member, KeyMember)]
    width = history.shape[1]
    raws = {member.name: member.detector.score(history[:, width - member.window :], key) for member in members}
    for member in members:
        if not member.detector.judges_end:
            raws[member.name][key == END] = np.nan
    return np.asarray(judge.ensemble.evidence(raws) >= judge.ensemble.threshold)


def _alarms(counts: Int64, before: Bool, after: Bool) -> tuple[int, int, int]:
    return int(counts.sum()), int(counts[before].sum()), int(counts[after].sum())
