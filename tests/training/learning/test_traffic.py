"""Which live traffic is rehearsed: what is normal by all that is known of it, and never what the gate keeps."""

from functools import cache

import numpy as np
import pytest

from models.judge import Judge
from models.lesson import Lesson
from models.members.event import Observed
from models.sessions import BEFORE_SESSION, Bool, Closing, Int64, SessionState
from models.spool.layout import Layout
from models.spool.reader import Spooled
from models.spool.rows import columns, pack
from models.vocabulary import END
from models.windows import Windows
from tests.service.serving import blocks_bundle
from training.learning import traffic
from training.learning.answers import Answer
from training.learning.replay import read_replay
from training.learning.teaching import Live
from training.rehearsal import held_windows

Rows = set[tuple[int, ...]]


@cache
def judge() -> Judge:
    return blocks_bundle().judge(exemplar_of=lambda _: "")


@cache
def windows() -> tuple[Int64, Int64]:
    """Many, some of which training saw: sessions of known templates in any order, and two that nobody knows."""
    chance, width = np.random.default_rng(5), judge().width
    keys = [*sorted(judge().known), 998, 999]
    past = read_replay(blocks_bundle().files, width)
    history = np.full((400, width), BEFORE_SESSION, dtype=np.int64)
    for row in history:
        size = int(chance.integers(1, width + 1))
        row[width - size :] = chance.choice(keys, size)
    own = np.flatnonzero(past.key != END)[:200]
    return (
        np.concatenate([history, past.history[own]]),
        np.concatenate([chance.choice(keys, len(history)), past.key[own]]),
    )


def spooled(silenced: Bool | None = None) -> Spooled:
    history, key = windows()
    nothing = np.zeros(len(key), dtype=np.int64)
    rows = Observed(Windows(history, nothing, nothing, nothing.astype(np.float64)), key)
    need, quiet = Layout.needed(judge()), np.zeros(len(key), dtype=np.bool_)
    silent = np.flatnonzero(silenced).tolist() if silenced is not None else []
    frame = columns(need, dict.fromkeys(pack(need, rows, quiet, silent), 3))
    none = np.empty(0, dtype=np.bool_)
    count, rang, quieted = (frame[name].to_numpy() for name in ("count", "anomalous", "silenced"))
    return Spooled((frame,), [], count, rang, quieted, np.empty(0, dtype=np.int64), none, none)


def rows_of(live: Live) -> Rows:
    return set(map(tuple, np.column_stack([live.history, live.key]).tolist()))


def rehearsed(found: Spooled, *answers: Answer, seed: int = 0) -> Live:
    return traffic.rehearsed(blocks_bundle(), judge(), answers, found, seed)


def all_rows() -> Rows:
    return set(map(tuple, np.column_stack(windows()).tolist()))


def by(which: Bool) -> Rows:
    history, key = windows()
    return set(map(tuple, np.column_stack([history, key])[which].tolist()))


@cache
def rang() -> Rows:
    history, key = windows()
    nothing = np.zeros(len(key), dtype=np.int64)
    rows = Observed(Windows(history, nothing, nothing, nothing.astype(np.float64)), key)
    return by(judge().rows(rows).anomalous)


def test_what_is_quiet_is_rehearsed_but_for_the_fifth_that_the_gate_keeps() -> None:
    kept = by(held_windows(*windows()))
    assert 0.1 < len(kept) / len(all_rows()) < 0.3
    assert rang()
    assert rows_of(rehearsed(spooled())) == all_rows() - rang() - kept


def test_what_a_rule_silenced_is_not() -> None:
    before = rehearsed(spooled())
    silenced = np.zeros(len(windows()[1]), dtype=np.bool_)
    silenced[::2] = True
    assert rows_of(rehearsed(spooled(silenced))) == rows_of(before) - by(silenced)


def test_what_shows_a_confirmed_anomaly_is_not() -> None:
    before = rehearsed(spooled())
    at = next(at for at, row in enumerate(before.history.tolist()) if BEFORE_SESSION not in row)
    history, key = before.history[at].tolist(), int(before.key[at])
    case = Answer("c", "missed", (Lesson("deeplog", {"history": history, "key": key}),))
    left = rehearsed(spooled(), case)
    assert rows_of(before) - rows_of(left) >= {(*history, key)}
    alarm = Answer("a", "false_positive", case.lessons)
    assert rows_of(rehearsed(spooled(), alarm)) == rows_of(before)
    # So is what follows it in the same session.
    next_one = np.array([[*history[1:], key, key]])
    assert traffic._shown(next_one, [case]).tolist() == [True]
    assert traffic._shown(next_one + 1, [case]).tolist() == [False]


def test_no_more_than_fits_is_rehearsed_beyond_what_training_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    past = read_replay(blocks_bundle().files, judge().width)
    trained = set(map(tuple, np.column_stack([past.history, past.key]).tolist()))
    every = rows_of(rehearsed(spooled()))
    assert every & trained
    monkeypatch.setattr(traffic, "SAMPLE", 10)
    some = rows_of(rehearsed(spooled()))
    assert len(some - trained) == 10 < len(every - trained)
    assert some & trained == every & trained
    assert rows_of(rehearsed(spooled())) == some != rows_of(rehearsed(spooled(), seed=1))


def test_sessions_that_were_kept_whole_are_rehearsed_as_such() -> None:
    """The judge has no say here: as if all ends were normal."""
    known = sorted(judge().known)
    tails = [tuple(known[: 1 + at % len(known)]) for at in range(60)]
    closings = [
        Closing(f"s{at}", SessionState(0.0, 1.0, len(tail) + at % 2, tail, dict.fromkeys(tail, 1)))
        for at, tail in enumerate(tails)
    ]
    ends = traffic.Traffic(
        np.empty((60, 0), dtype=np.int64), np.full(60, END), np.arange(60) % 3 > 0, np.arange(60) % 5 == 0, 0
    )
    found = [tuple(one.tolist()) for one in traffic._sequences(ends, closings)]
    assert found == list(dict.fromkeys(tail for at, tail in enumerate(tails) if at % 2 == 0 and at % 3 and at % 5))


def test_without_a_spool_nothing_is() -> None:
    live = traffic.rehearsed(blocks_bundle(), judge(), [], None, 0)
    assert not len(live.key)
    assert not live.sequences
