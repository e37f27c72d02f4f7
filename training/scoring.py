"""Raw outputs of whole sessions given as keys: what a judge says of a set of key sequences.

Owns the reduction of events to their session; equal sessions are scored once. Only members that read keys take part:
sets of key sequences have neither lines nor times.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from models.judge import Judge
from models.members.event import KeyMember
from models.sessions import SEGMENT, Float64, Int64, SessionState
from models.vocabulary import END
from models.windows import FullSegment
from training.windows import distinct, windows

PART = 200_000
"""Events scored at a time: bounds memory where a session has a hundred thousand."""


def session_raws(judge: Judge, sessions: Sequence[Int64]) -> dict[str, Float64]:
    """Largest raw output of each member in each of n sessions (each int64 [length > 0]), float64 [n] by name."""
    once = distinct(sessions)
    number = len(once.sessions)
    raws = {member.name: np.full(number, -np.inf) for member in judge.events if isinstance(member, KeyMember)}
    raws |= {member.name: np.full(number, -np.inf) for member in judge.sessions}
    for begin, end in _parts(once.sessions):
        part = once.sessions[begin:end]
        for name, raw in _raws(judge, part).items():
            raws[name][begin:end] = raw
    return {name: raw[once.index] for name, raw in raws.items()}


def _raws(judge: Judge, sessions: Sequence[Int64]) -> dict[str, Float64]:
    given = windows(sessions, judge.width)
    found: dict[str, Float64] = {}
    for member in judge.events:
        if isinstance(member, KeyMember):
            # Not through the member's memory: distinct sessions have few windows in common, and a detector looks at
            # each distinct one once by itself.
            detector = member.detector
            own = slice(None) if detector.judges_end else given.key != END
            history = given.history[own, judge.width - detector.window :]
            raw = np.full(len(sessions), -np.inf)
            np.maximum.at(raw, given.session[own], detector.score(history, given.key[own]))
            found[member.name] = raw
    states = [_state(session) for session in sessions] if judge.sessions else []
    full = [
        (number, FullSegment(0, session[start : start + SEGMENT]))
        for number, session in enumerate(sessions)
        for start in range(0, len(session) - SEGMENT + 1, SEGMENT)
    ]
    for end_member in judge.sessions:
        raw = end_member.score(states)
        if end_member.sequences and full:
            np.fmax.at(raw, [number for number, _ in full], end_member.score_segments([part for _, part in full]))
        found[end_member.name] = raw
    return found


def _state(session: Int64) -> SessionState:
    keys = session.tolist()
    return SessionState(0.0, 0.0, len(keys), tuple(keys[-SEGMENT:]), dict(sorted(Counter(keys).items())))


def _parts(sessions: Sequence[Int64]) -> list[tuple[int, int]]:
    """Runs of sessions of at most ``PART`` events, a longer session alone."""
    cuts, events = [0], 0
    for number, session in enumerate(sessions):
        if events and events + len(session) > PART:
            cuts.append(number)
            events = 0
        events += len(session)
    return list(zip(cuts, [*cuts[1:], len(sessions)], strict=True))
