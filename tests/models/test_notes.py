"""Histories of pauses, values and codes are what one would write down line by line, however a log is cut."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.live import LiveSessions
from models.notes import NO_CODE, Notes, NoteSettings
from models.sessions import NO_KEY, Rows, SessionSettings, watermarks

KEPT = NoteSettings(pauses=True, values=2, width=2, codes=3, fields=1)
SETTINGS = SessionSettings(tail=2, idle_s=5.0, lateness_s=0.0, notes=KEPT)


@dataclass
class Diary:
    """One session's epoch, kept the plain way."""

    last: float = -np.inf
    values: dict[int, list[list[float]]] = field(default_factory=dict)
    codes: list[int] = field(default_factory=list)


Line = tuple[str, int, float, bool]

lines = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from([NO_KEY, 1, 2, 3]), st.integers(0, 30).map(float), st.booleans()),
    max_size=40,
)


def rows_of(batch: list[Line], start: int, largest: float) -> Rows:
    keys = np.array([key for _, key, _, _ in batch], dtype=np.int64)
    time = np.array([-np.inf if key == NO_KEY else at for _, key, at, _ in batch])
    number = np.arange(start, start + len(batch))
    notes = Notes(number[:, None].astype(np.float64), np.isin(keys, [1, 2]), number[:, None] % 7)
    ends = np.array([ends or key == NO_KEY for _, key, _, ends in batch], dtype=np.bool_)
    return Rows([name for name, _, _, _ in batch], keys, time, watermarks(time, largest, 0.0), ends, notes)


@given(lines, st.lists(st.integers(0, 40), max_size=3))
def test_histories_are_those_of_a_diary(log: list[Line], cuts: list[int]) -> None:
    live = LiveSessions(SETTINGS)
    diaries: dict[str, Diary] = {}
    largest = -np.inf
    places = sorted({0, len(log), *(cut for cut in cuts if cut < len(log))})
    for start, stop in pairwise(places):
        rows = rows_of(log[start:stop], start, largest)
        windows, _ = live.append(rows)
        largest = float(rows.time.max(initial=largest))
        assert windows.elapsed is not None
        assert windows.values is not None
        assert windows.codes is not None
        valued = {int(at): place for place, at in enumerate(windows.values.at)}
        keyed = {int(row): at for at, row in enumerate(windows.row)}
        for row in range(stop - start):
            name, key, time = rows.session[row], int(rows.key[row]), float(rows.time[row])
            if name in diaries and diaries[name].last + SETTINGS.idle_s < rows.watermark[row]:
                del diaries[name]
            if key != NO_KEY:
                at = keyed[row]
                diary = diaries.setdefault(name, Diary())
                pause = time - diary.last if np.isfinite(diary.last) else np.nan
                np.testing.assert_equal(windows.elapsed[at], pause)
                earlier = ([NO_CODE] * 3 + diary.codes)[-3:]
                assert windows.codes.earlier[at, :, 0].tolist() == earlier
                assert (at in valued) == (key in (1, 2))
                if at in valued:
                    own = diary.values.setdefault(key, [])
                    expected = ([[np.nan, np.nan]] * 2 + own)[-2:]
                    np.testing.assert_equal(windows.values.history[valued[at]], expected)
                    own.append([pause, float(start + row)])
                    np.testing.assert_equal(windows.values.values[valued[at]], own[-1])
                diary.codes.append((start + row) % 7)
                diary.last = max(diary.last, time)
            if rows.ends[row]:
                diaries.pop(name, None)
