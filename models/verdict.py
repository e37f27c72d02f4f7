"""Verdicts as callers get them.

Owns their form, and that those of lines are columns until somebody reads one: most are read by nobody, or go out as
JSON as they are. Does not know why anything rang (``models.finding``).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NotRequired, TypedDict, overload

import numpy as np
import orjson

from models.judgement import Judgement
from models.parser import Events
from models.windows import Windows

Kind = Literal["line", "session", "timeframe"]
State = Literal["scored", "learning", "silenced"]


class Verdict(TypedDict):
    """One verdict as JSON. ``index`` is the line's place in its request, None for the end of a session or timeframe;
    ``rule`` the feedback without which a silenced one would have rung."""

    index: int | None
    kind: Kind
    session: str
    template_id: int | None
    template: str | None
    novel: bool
    anomalous: bool
    score: float
    state: State
    incident: str | None
    reasons: list[dict[str, Any]]
    rule: NotRequired[str]


class LineVerdicts(Sequence[Verdict]):
    """A verdict for each keyed row of a batch, in line order. One that was read stays as its reader left it."""

    def __init__(
        self,
        events: Events,
        windows: Windows,
        judgement: Judgement | None,
        known: Callable[[int], bool],
        text_of: Callable[[int], str],
    ) -> None:
        """Without reasons (``models.finding`` adds them to those that rang). ``judgement`` is None while the source has
        no model: verdicts then say ``learning``. ``known`` tells whether a template is in the live vocabulary."""
        size = len(windows.row)
        self.places: list[int] = events.index[windows.row].tolist()
        """Each row's place in the batch."""
        self._session = [events.session[row] for row in windows.row.tolist()]
        self._key: list[int] = events.key[windows.row].tolist()
        self._texts = {key: (text_of(key), not known(key)) for key in set(self._key)}
        self._score: list[float] = [0.0] * size if judgement is None else judgement.score.tolist()
        self._rang: dict[int, None] = {}
        if judgement is not None:
            self._rang = dict.fromkeys(np.flatnonzero(judgement.anomalous).tolist())
        self._state: State = "learning" if judgement is None else "scored"
        self._read: dict[int, Verdict] = {}
        for at, rule in () if judgement is None else judgement.silenced.items():
            silenced = self[at]
            silenced["state"], silenced["rule"] = "silenced", rule

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, at: int) -> Verdict: ...

    @overload
    def __getitem__(self, at: slice) -> list[Verdict]: ...

    def __getitem__(self, at: int | slice) -> Verdict | list[Verdict]:
        if isinstance(at, slice):
            return [self._one(place) for place in range(*at.indices(len(self)))]
        return self._one(range(len(self))[at])

    def __iter__(self) -> Iterator[Verdict]:
        return map(self._one, range(len(self)))

    def of_places(self, start: int, stop: int) -> range:
        """Which verdicts are of the places ``start`` to ``stop`` of the batch."""
        return range(bisect_left(self.places, start), bisect_left(self.places, stop))

    def encoded(self, which: range, offset: int) -> list[str]:
        """So many verdicts as pieces of JSON, commas between them; their ``index`` less ``offset``.

        Those that nobody read are laid out as text at once: most differ in number and session alone. Pieces, as each
        copy of an answer of some hundred kilobytes takes as long as laying it out.
        """
        own = slice(which.start, which.stop)
        sessions, kinds = self._session[own], list(zip(self._key[own], self._score[own], strict=True))
        middles = {session: f',"kind":"line","session":{_json(session)},' for session in dict.fromkeys(sessions)}
        rests = {kind: self._rest(*kind) for kind in dict.fromkeys(kinds)}
        pieces = [_NEXT] * (4 * len(which))
        pieces[1::4] = [str(place - offset) for place in self.places[own]]
        pieces[2::4] = map(middles.__getitem__, sessions)
        pieces[3::4] = map(rests.__getitem__, kinds)
        for at in self._apart(which):
            first = 4 * (at - which.start)
            pieces[first : first + 4] = ",", self._alone(at, offset), "", ""
        if pieces:
            pieces[0] = pieces[0][1:]
        return pieces

    def encoded_anomalous(self, which: range, offset: int) -> list[str]:
        """Those of so many that rang, in the same way."""
        # By whichever is fewer: of many requests in one batch each has few of the lines that rang.
        rang = [at for at in which if at in self._rang] if len(which) < len(self._rang) else self._rang
        pieces = [piece for at in rang if at in which for piece in (",", self._alone(at, offset))]
        return pieces[1:]

    def _alone(self, at: int, offset: int) -> str:
        return _json({**self._one(at), "index": self.places[at] - offset})

    def _apart(self, which: range) -> list[int]:
        """Those of so many that are not like others: that were read, or rang."""
        if len(which) < len(self._read) + len(self._rang):
            return [at for at in which if at in self._read or at in self._rang]
        return [at for at in {*self._read, *self._rang} if at in which]

    def _one(self, at: int) -> Verdict:
        verdict = self._read.get(at)
        if verdict is None:
            key = self._key[at]
            verdict = self._read[at] = {
                "index": self.places[at], "kind": "line", "session": self._session[at], "template_id": key,
                "template": self._texts[key][0], "novel": self._texts[key][1], "anomalous": at in self._rang,
                "score": self._score[at], "state": self._state, "incident": None, "reasons": [],
            }  # fmt: skip
        return verdict

    def _rest(self, key: int, score: float) -> str:
        """What follows the session in the JSON of a verdict that did not ring."""
        text, novel = self._texts[key]
        rest = {
            "template_id": key, "template": text, "novel": novel, "anomalous": False, "score": score,
            "state": self._state, "incident": None, "reasons": [],
        }  # fmt: skip
        return _json(rest)[1:]


NO_LINES = LineVerdicts(Events.none(), Windows.none(0), None, bool, str)
"""Where no line was judged, or none is told of."""

_NEXT = ',{"index":'


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
