"""Whole sessions of keys score as they do line by line."""

import numpy as np
import pytest

from models.baselines.count_vector import CountVector
from models.baselines.new_event import NewEvent
from models.baselines.ngram import Ngram
from models.ensemble import Ensemble
from models.judge import Judge
from models.live import LiveSessions
from models.members.ended import CountMember, SequenceMember
from models.members.event import KeyMember, Observed
from models.sessions import SEGMENT, Int64, Rows, SessionSettings
from training import scoring
from training.scoring import session_raws

TRAIN = [np.array([1, 2, 3]), np.array([1, 2, 2, 3])]


@pytest.fixture
def judge() -> Judge:
    ensemble = Ensemble.fit({"new_event": np.zeros(30)})
    events = [KeyMember(NewEvent.fit(TRAIN), 0)]
    ended = [CountMember(CountVector.fit(TRAIN), 3), SequenceMember(Ngram.fit(TRAIN, 2), 9)]
    return Judge(events, ended, ensemble, frozenset([1, 2, 3]))


def streamed(judge: Judge, session: Int64) -> dict[str, float]:
    """The same session event by event, full segments included."""
    live = LiveSessions(judge.needs(SessionSettings(1, 1e9)))
    n = len(session)
    time = np.zeros(n)
    windows, _ = live.append(Rows(["s"] * n, session, time, time, np.zeros(n, dtype=np.bool_)))
    rows = judge.rows(Observed(windows, session))
    closed = judge.closings(live.close_all())
    found = {name: float(np.fmax(closed.raws[name][0], rows.raws[name].max())) for name in rows.raws}
    for member in judge.sessions:
        whole = [float(closed.raws[member.name][0])]
        whole += [float(raw) for raw in member.score_segments(windows.segments)]
        found[member.name] = float(np.nanmax(whole))
    return found


def test_sessions_score_as_streamed_in_whatever_parts(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(4)
    sessions = [
        np.array([1, 2, 3]), np.array([3]), np.array([1, 2, 3]), np.array([7, 7, 1]),
        random.integers(1, 4, 2 * SEGMENT), np.array([9] * SEGMENT + [1, 2, 3]), random.integers(1, 5, 100_000),
    ]  # fmt: skip
    raws = session_raws(judge, sessions)
    for number, session in enumerate(sessions):
        assert {name: raw[number] for name, raw in raws.items()} == pytest.approx(streamed(judge, session))
    monkeypatch.setattr(scoring, "PART", 5)
    for name, raw in session_raws(judge, sessions[:5]).items():
        assert raw.tolist() == raws[name][:5].tolist()
