"""Members that judge events: each picks out of an event what its detector reads.

Owns the picking, what is remembered of it, and what makes two alarms of a member the same (the first of its clauses is
what makes them one cause, the others are wider scopes that a person may choose). A member has a place of its
own, the same in every version: under it a session remembers the member's largest raw output. Does not know weights,
thresholds or the other members.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from models.detector import EventDetector, FieldDetector, TextDetector, TimingDetector, ValueDetector
from models.lesson import Seen, array, numbers
from models.members.cache import REASONS_KEPT, OutputCache, RawCache, Remembered
from models.rules import Clause, digest
from models.sessions import BEFORE_SESSION, Float64, Int64
from models.vocabulary import END
from models.windows import Windows


@dataclass(frozen=True, slots=True)
class Observed:
    """k events: their ``windows``, ``key`` int64 [k], and where a member reads them their masked messages."""

    windows: Windows
    key: Int64
    texts: Sequence[str] = ()


class EventMember(Protocol):
    """A member of the ensemble that judges events."""

    @property
    def name(self) -> str:
        """Of the detector."""

    @property
    def place(self) -> int:
        """Under which sessions remember its peaks, 0..255."""

    @property
    def window(self) -> int:
        """Keys of history that it reads."""

    def score(self, events: Observed) -> Float64:
        """Raw outputs float64 [k]; NaN: no judgement."""

    def score_ends(self, history: Int64) -> Float64 | None:
        """Raw outputs float64 [k] of sessions that end after ``history`` int64 [k, h]; None where it judges no ends."""

    def explain(self, events: Observed, at: int) -> dict[str, Any]:
        """Why event ``at`` is strange."""

    def explain_end(self, history: Int64) -> dict[str, Any]:
        """Why it is strange that a session ends after ``history`` int64 [h]."""

    def clauses(self, events: Observed, at: int, known: Container[int]) -> list[Clause]:
        """What event ``at`` may have in common with another one for both to be the same alarm; ``known`` templates are
        those of the vocabulary."""

    def end_clauses(self, history: Int64, counts: Mapping[int, int], known: Container[int]) -> list[Clause]:
        """The same of the end of a session with ``counts`` {template id: count} after ``history`` int64 [h]."""

    def seen(self, events: Observed, at: int) -> dict[str, Any]:
        """What it read of event ``at``, plain JSON (``models.lesson``)."""

    def end_seen(self, history: Int64) -> dict[str, Any]:
        """What it read of the end of a session after ``history`` int64 [h]."""

    def score_seen(self, seen: Sequence[Seen]) -> Float64:
        """Raw outputs float64 [k] of k events or ends seen by this or another version."""

    def take_counts(self) -> tuple[int, int]:
        """Hits and misses of its cache since the last call."""


class _Endless:
    """What members that judge no ends and remember nothing have in common."""

    window = 0

    def score_ends(self, history: Int64) -> Float64 | None:
        return None

    def explain_end(self, history: Int64) -> dict[str, Any]:
        return {}

    def end_clauses(self, history: Int64, counts: Mapping[int, int], known: Container[int]) -> list[Clause]:
        return []

    def end_seen(self, history: Int64) -> dict[str, Any]:
        return {}

    def take_counts(self) -> tuple[int, int]:
        return 0, 0


class KeyMember:
    """Judges a key by the keys before it."""

    def __init__(self, detector: EventDetector, place: int) -> None:
        self.detector = detector
        self.place = place
        self.name = detector.name
        self.window = detector.window
        self._cache = RawCache(detector)
        self._reasons: Remembered[bytes, dict[str, Any]] = Remembered(REASONS_KEPT)

    def score(self, events: Observed) -> Float64:
        return self._cache.score(events.windows.history, events.key)

    def score_ends(self, history: Int64) -> Float64 | None:
        if not self.detector.judges_end:
            return None
        return self._cache.score(history, np.full(len(history), END))

    def explain(self, events: Observed, at: int) -> dict[str, Any]:
        return self._explain(events.windows.history[at], int(events.key[at]))

    def explain_end(self, history: Int64) -> dict[str, Any]:
        return self._explain(history, END)

    def clauses(self, events: Observed, at: int, known: Container[int]) -> list[Clause]:
        key = int(events.key[at])
        own = self._before(events.windows.history[at])
        # Concurrent writers make endless orders of the same few events: they are one cause.
        return self._clauses(own, key, digest(*sorted(own), key), known)

    def end_clauses(self, history: Int64, counts: Mapping[int, int], known: Container[int]) -> list[Clause]:
        # Which events the last ones are is a matter of order too: what ended is the session.
        whole = digest(*(f"{key}:{count}" for key, count in sorted(counts.items())), END)
        return self._clauses(self._before(history), END, whole, known)

    def seen(self, events: Observed, at: int) -> dict[str, Any]:
        return {"history": self._own(events.windows.history[at]).tolist(), "key": int(events.key[at])}

    def end_seen(self, history: Int64) -> dict[str, Any]:
        return {"history": self._own(history).tolist(), "key": END}

    def score_seen(self, seen: Sequence[Seen]) -> Float64:
        return self.detector.score(_histories(seen, self.window), _ints(seen, "key"))

    def warm(self, history: Int64, keys: Int64) -> None:
        """Remember raw outputs of windows that are to be expected, ``keys`` int64 [k] after ``history`` int64 [k, h >=
        window]; they count as neither hits nor misses."""
        self._cache.score(history, keys)
        self._cache.take_counts()

    def take_counts(self) -> tuple[int, int]:
        return self._cache.take_counts()

    def _own(self, history: Int64) -> Int64:
        return history[len(history) - self.window :]

    def _before(self, history: Int64) -> list[int]:
        return [k for k in self._own(history).tolist() if k != BEFORE_SESSION]

    def _clauses(self, own: Sequence[int], key: int, window: str, known: Container[int]) -> list[Clause]:
        unread = {k for k in (*own, key) if k != END and k not in known}
        templates = [*sorted(unread), *({key} - unread - {END})]
        by_template = [Clause(self.name, "template", str(k)) for k in templates]
        if not self.window:
            return by_template
        by_window = [Clause(self.name, "window", window)]
        # What could not be read because of a new template is about that template, whatever the window.
        return by_template + by_window if unread else by_window + by_template

    def _explain(self, history: Int64, key: int) -> dict[str, Any]:
        own = self._own(history)
        about = own.tobytes() + key.to_bytes(8, "little", signed=True)
        # The same few causes ring again and again; what explains them is worked out once.
        return self._reasons.get(about, lambda: self.detector.explain(own, key))


class TimingMember(_Endless):
    """Judges the pause before an event."""

    window = 1

    def __init__(self, detector: TimingDetector, place: int) -> None:
        self._detector = detector
        self.place = place
        self.name = detector.name

    def score(self, events: Observed) -> Float64:
        assert events.windows.elapsed is not None
        return self._detector.score_pauses(events.windows.history[:, -1], events.key, events.windows.elapsed)

    def explain(self, events: Observed, at: int) -> dict[str, Any]:
        assert events.windows.elapsed is not None
        previous, key = int(events.windows.history[at, -1]), int(events.key[at])
        return self._detector.explain(previous, key, float(events.windows.elapsed[at]))

    def clauses(self, events: Observed, at: int, known: Container[int]) -> list[Clause]:
        previous, key = events.windows.history[at, -1], events.key[at]
        return [Clause(self.name, "window", digest(previous, key)), Clause(self.name, "template", str(key))]

    def seen(self, events: Observed, at: int) -> dict[str, Any]:
        windows = events.windows
        assert windows.elapsed is not None
        previous, elapsed = int(windows.history[at, -1]), numbers(windows.elapsed[at : at + 1])[0]
        return {"previous": previous, "key": int(events.key[at]), "elapsed": elapsed}

    def score_seen(self, seen: Sequence[Seen]) -> Float64:
        elapsed = array([one["elapsed"] for one in seen])
        return self._detector.score_pauses(_ints(seen, "previous"), _ints(seen, "key"), elapsed)


class ValueMember(_Endless):
    """Judges an event's parameters. ``after``: the member whose raw output must be below a bar for that, so that only
    parameters of expected keys are judged (DeepLog, section 3.2); None: nothing must."""

    def __init__(self, detector: ValueDetector, place: int, after: tuple[str, float] | None = None) -> None:
        self.detector = detector
        self.after = after
        self.place = place
        self.name = detector.name

    def score(self, events: Observed) -> Float64:
        raws = np.full(len(events.key), np.nan)
        windows = events.windows.values
        assert windows is not None
        if len(windows.at):
            raws[windows.at] = self.detector.score_values(events.key[windows.at], windows.history, windows.values)
        return raws

    def explain(self, events: Observed, at: int) -> dict[str, Any]:
        windows = events.windows.values
        assert windows is not None
        own = int(np.flatnonzero(windows.at == at)[0])
        return self.detector.explain(int(events.key[at]), windows.history[own], windows.values[own])

    def clauses(self, events: Observed, at: int, known: Container[int]) -> list[Clause]:
        key, why = events.key[at], self.explain(events, at)
        template = Clause(self.name, "template", str(key))
        observed = why.get("observed")
        if observed is None:
            return [template]
        # A place outlives versions and widened templates, a column does not. The elapsed time has none.
        place = why.get("token"), why.get("ordinal")
        value = float(observed)
        return [Clause(self.name, "parameter", digest(key, *place), value, value), template]

    def seen(self, events: Observed, at: int) -> dict[str, Any]:
        windows = events.windows.values
        assert windows is not None
        own = int(np.flatnonzero(windows.at == at)[0])
        history, values = numbers(windows.history[own]), numbers(windows.values[own])
        return {"key": int(events.key[at]), "history": history, "values": values}

    def score_seen(self, seen: Sequence[Seen]) -> Float64:
        return np.array([self._score_one(one) for one in seen], dtype=np.float64)

    def _score_one(self, one: Seen) -> float:
        """NaN where this version reads another number of values, or does not judge the template."""
        key, values, history = np.array([one["key"]]), array(one["values"]), array(one["history"])
        fits = values.shape == (self.detector.width,) and len(history) >= self.detector.window
        if not fits or not self.detector.reads(key)[0]:
            return np.nan
        own = history[len(history) - self.detector.window :]
        return float(self.detector.score_values(key, own[None], values[None])[0])


class FieldMember(_Endless):
    """Judges the last events by their keys and header fields."""

    def __init__(self, detector: FieldDetector, place: int) -> None:
        self.detector = detector
        self.place = place
        self.name = detector.name
        self.window = detector.window

    def score(self, events: Observed) -> Float64:
        codes = events.windows.codes
        assert codes is not None
        return self.detector.score_fields(self._own(events), events.key, codes.earlier, codes.codes)

    def explain(self, events: Observed, at: int) -> dict[str, Any]:
        codes = events.windows.codes
        assert codes is not None
        return self.detector.explain(self._own(events)[at], int(events.key[at]), codes.earlier[at], codes.codes[at])

    def clauses(self, events: Observed, at: int, known: Container[int]) -> list[Clause]:
        key = events.key[at]
        window = Clause(self.name, "window", digest(*self._own(events)[at].tolist(), key))
        return [window, Clause(self.name, "template", str(key))]

    def seen(self, events: Observed, at: int) -> dict[str, Any]:
        codes = events.windows.codes
        assert codes is not None
        return {
            "history": self._own(events)[at].tolist(),
            "key": int(events.key[at]),
            "earlier": codes.earlier[at].tolist(),
            "codes": codes.codes[at].tolist(),
        }

    def score_seen(self, seen: Sequence[Seen]) -> Float64:
        size = len(self.detector.fields)
        earlier = np.array([one["earlier"] for one in seen], dtype=np.int64).reshape(len(seen), self.window, size)
        codes = np.array([one["codes"] for one in seen], dtype=np.int64).reshape(len(seen), size)
        return self.detector.score_fields(_histories(seen, self.window), _ints(seen, "key"), earlier, codes)

    def _own(self, events: Observed) -> Int64:
        history = events.windows.history
        return history[:, history.shape[1] - self.window :]


class TextMember(_Endless):
    """Judges a masked message by its words; a message seen before costs a lookup."""

    def __init__(self, detector: TextDetector, place: int) -> None:
        self._detector = detector
        self.place = place
        self.name = detector.name
        self._cache: OutputCache[str] = OutputCache()

    def score(self, events: Observed) -> Float64:
        def fresh(at: Int64) -> Float64:
            return self._detector.score_texts(self._detector.prepare([events.texts[i] for i in at.tolist()]))

        return self._cache.score(events.texts, fresh)

    def explain(self, events: Observed, at: int) -> dict[str, Any]:
        return self._detector.explain(self._text(events, at))

    def clauses(self, events: Observed, at: int, known: Container[int]) -> list[Clause]:
        text = Clause(self.name, "text", digest(self._text(events, at)))
        return [text, Clause(self.name, "template", str(events.key[at]))]

    def seen(self, events: Observed, at: int) -> dict[str, Any]:
        return {"text": self._text(events, at)}

    def score_seen(self, seen: Sequence[Seen]) -> Float64:
        return self._detector.score_texts([one["text"] for one in seen])

    def take_counts(self) -> tuple[int, int]:
        return self._cache.take_counts()

    def _text(self, events: Observed, at: int) -> str:
        return self._detector.prepare([events.texts[at]])[0]


def _ints(seen: Sequence[Seen], name: str) -> Int64:
    return np.array([one[name] for one in seen], dtype=np.int64)


def _histories(seen: Sequence[Seen], window: int) -> Int64:
    """The last ``window`` keys of each, int64 [k, window]; one of a version that read fewer begins there."""
    found = np.full((len(seen), window), BEFORE_SESSION, dtype=np.int64)
    for row, one in enumerate(seen):
        keys = one["history"][-window:] if window else ()
        if keys:
            found[row, window - len(keys) :] = keys
    return found
