"""Live traffic that is normal: what the live version judged so, no rule silenced, and no case of a real anomaly shows.

Owns which of the spooled events and ends of sessions that is, which of it teaching rehearses, and which part it never
sees, so that the gate has something to tell learning from remembering by. Does not know how it is rehearsed.

A spooled event does not name its session. Of a session that people confirmed or pointed out are: its own window, those
after it that still show at least half of it, and sessions that ended alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.bundle import Bundle
from models.diff import without_peaks
from models.judge import Judge
from models.judgement import end_histories
from models.rows import unique_rows
from models.sample import REPLAY
from models.sessions import Bool, Closing, Int64
from models.spool.layout import Layout
from models.spool.reader import Spooled
from models.vocabulary import END
from training.learning.answers import Answer
from training.learning.replay import read_replay
from training.learning.teaching import Live
from training.rehearsal import SAMPLE, held_windows


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is spooled, by its windows of the keys that the live version reads: of k events and of c ends ``history``
    int64 [k + c, width] and ``key`` int64 [k + c] (``END`` for an end), whether each is ``normal`` bool [k + c] and
    whether it is ``held`` back from teaching, bool [k + c]; ``events`` is k."""

    history: Int64
    key: Int64
    normal: Bool
    held: Bool
    events: int


def normal_traffic(judge: Judge, spooled: Spooled, answers: Sequence[Answer]) -> Traffic:
    """What of ``spooled`` is normal by ``judge``, the live version's, and beside the real anomalies of ``answers``.

    An event is judged in its own row and an end by what it itself shows, as the gate does; a session in which the
    version that saw it heard anything is not normal for that.
    """
    rows = spooled.rows(Layout.needed(judge))
    closings = without_peaks(spooled.closings)
    history = np.concatenate([rows.windows.history, end_histories(closings, judge.width)])
    key = np.concatenate([rows.key, np.full(len(closings), END)])
    rings = np.concatenate([judge.rows(rows).anomalous, judge.closings(closings).anomalous | spooled.end_anomalous])
    silenced = np.concatenate([spooled.silenced, spooled.end_silenced])
    cases = [answer for answer in answers if not answer.false_alarm]
    real = _shown(np.column_stack([history, key]), cases)
    real[len(rows.key) :] |= np.array([_ended_alike(closing, cases) for closing in closings], dtype=np.bool_)
    return Traffic(history, key, ~(rings | silenced | real), held_windows(history, key), len(rows.key))


def rehearsed(live: Bundle, judge: Judge, answers: Sequence[Answer], spooled: Spooled | None, seed: int) -> Live:
    """What teaching rehearses of ``spooled``: its distinct windows, at most ``SAMPLE`` beyond those that ``live``
    carries from training, drawn by ``seed``; and the sessions that were kept whole."""
    if spooled is None or not len(spooled):
        return Live.none()
    traffic = normal_traffic(judge, spooled, answers)
    cells = np.column_stack([traffic.history, traffic.key])
    # Marks are negative, and rows are packed from numbers that are not. A window that rang by anything is left out.
    first, group = unique_rows(cells - cells.min())
    loud = np.bincount(group, weights=~traffic.normal) > 0.0
    chosen = first[~loud & ~traffic.held[first]]
    known: set[tuple[int, ...]] = set()
    if REPLAY in live.files:
        past = read_replay(live.files, judge.width)
        known = set(map(tuple, np.column_stack([past.history, past.key]).tolist()))
    fresh = np.array([tuple(row) not in known for row in cells[chosen].tolist()], dtype=np.bool_)
    if fresh.sum() > SAMPLE:
        drawn = np.random.default_rng(seed).choice(chosen[fresh], SAMPLE, replace=False)
        chosen = np.sort(np.concatenate([chosen[~fresh], drawn]))
    return Live(traffic.history[chosen], traffic.key[chosen], tuple(_sequences(traffic, spooled.closings)))


def _sequences(traffic: Traffic, closings: Sequence[Closing]) -> list[Int64]:
    """Distinct normal sessions that were kept whole and are not held back."""
    chosen = (traffic.normal & ~traffic.held)[traffic.events :].tolist()
    whole = [
        closing.state.tail
        for closing, taken in zip(closings, chosen, strict=True)
        if taken and 0 < closing.state.n == len(closing.state.tail)
    ]
    return [np.array(keys, dtype=np.int64) for keys in dict.fromkeys(whole)]


def _shown(cells: Int64, cases: Sequence[Answer]) -> Bool:
    """Which windows, ``cells`` int64 [k, width + 1] with the next key last, are a case's or show half of it, bool
    [k]."""
    found = np.zeros(len(cells), dtype=np.bool_)
    size = cells.shape[1]
    for case in {tuple(keys) for answer in cases if (keys := _keys(answer))}:
        for after in range((size + 1) // 2):
            shown = min(len(case), size - after)
            found |= (cells[:, size - after - shown : size - after] == case[len(case) - shown :]).all(axis=1)
    return found


def _keys(answer: Answer) -> list[int]:
    """The longest run of keys that a detector saw of one event or end, the last one its own; empty where none did."""
    runs = [
        [*lesson.seen["history"], lesson.seen["key"]]
        for lesson in answer.lessons
        if {"history", "key"} <= lesson.seen.keys() and all(isinstance(key, int) for key in lesson.seen["history"])
    ]
    return max(runs, key=len, default=[])


def _ended_alike(closing: Closing, cases: Sequence[Answer]) -> bool:
    """Whether a session had the events of one that a case is about."""
    seen = [lesson.seen for answer in cases for lesson in answer.lessons]
    return any(_same(closing, one) for one in seen)


def _same(closing: Closing, seen: Mapping[str, Any]) -> bool:
    state = closing.state
    if "counts" in seen:
        return dict(map(tuple, seen["counts"])) == dict(state.counts)
    return "sequence" in seen and tuple(seen["sequence"]) == state.tail[-len(seen["sequence"]) :]
