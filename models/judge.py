"""From detectors' raw outputs to verdicts: one evidence, one threshold.

Owns the reduction of event members to a session (their maximum). A row rings where its own
evidence reaches the threshold; as no member can take evidence away, the session's final evidence would reach it too. A
closed session rings where all members together do. So a session is anomalous exactly if one of its verdicts is, with
one threshold and one alert budget.

Members that the ensemble does not know are witnesses: scored and reported, without a say.

Does not know why anything rings (``models.explainer``), templates' texts, sessions' storage, nor incidents.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from models.ensemble import Ensemble
from models.explainer import Explainer
from models.judgement import Judgement, Peak, end_histories
from models.lesson import Lesson
from models.members.ended import EndMember
from models.members.event import EventMember, FieldMember, Observed, TextMember, TimingMember, ValueMember
from models.normals import Normals
from models.notes import Notes, NoteSettings
from models.parser import Events
from models.record import Records
from models.rules import Rules
from models.sessions import NO_KEY, SEGMENT, Closing, Float64, SessionSettings
from models.windows import FullSegment
from models.workflow.diagnosis import Diagnostician

NO_RULES = Rules()


class Judge:
    """The detectors and the ensemble of one bundle version."""

    def __init__(
        self,
        events: Sequence[EventMember],
        sessions: Sequence[EndMember],
        ensemble: Ensemble,
        known: frozenset[int],
        provider: str = "cpu",
        workflow: Diagnostician | None = None,
        normals: Normals | None = None,
    ) -> None:
        """``known`` holds the template ids of the vocabulary; ``provider`` says where networks run; ``workflow`` tells
        where in a session's course an alarm lies, where training built one; ``normals`` what incidents are compared
        with, None in older bundles."""
        self.provider = provider
        self.normals = normals
        self.events = tuple(events)
        self.sessions = tuple(sessions)
        self.ensemble = ensemble
        self.known = known
        self.width = max((member.window for member in self.events), default=0)
        """Keys of history that the event members need."""
        self.explainer = Explainer(events, sessions, ensemble, known, self.width, workflow)
        """Says why anything rang."""
        self.reads_texts = any(isinstance(member, TextMember) for member in self.events)
        nothing = np.empty(0, dtype=np.float64)
        self._nothing_closed = self._judge({member.name: nothing for member in self._members}, 0)
        self._values = next((m.detector for m in self.events if isinstance(m, ValueMember)), None)
        self._fields = next((m.detector for m in self.events if isinstance(m, FieldMember)), None)

    def needs(self, least: SessionSettings) -> SessionSettings:
        """``least`` with what these members read of a session in the place of its window."""
        width = self.width or least.width
        sequences = any(member.sequences for member in self.sessions)
        timing = any(isinstance(member, TimingMember) for member in self.events)
        values, fields = self._values, self._fields
        notes = NoteSettings(
            pauses=timing or values is not None,
            values=0 if values is None else values.window,
            width=0 if values is None else values.width,
            codes=0 if fields is None else fields.window,
            fields=0 if fields is None else len(fields.fields),
        )
        return replace(least, tail=max(SEGMENT, width) if sequences else width, window=width, notes=notes)

    def notes(self, records: Records, events: Events, tokens_of: Callable[[int], Sequence[str]]) -> Notes | None:
        """What members read of a batch's rows beside their keys; None where none does."""
        if self._values is None and self._fields is None:
            return None
        size = len(events.key)
        keyed = events.key != NO_KEY
        valued = np.zeros(size, dtype=np.bool_)
        values = np.zeros((size, 0), dtype=np.float64)
        codes = np.zeros((size, 0), dtype=np.int64)
        if self._values is not None:
            valued[keyed] = self._values.reads(events.key[keyed])
            values = np.zeros((size, self._values.width - 1), dtype=np.float64)
            at = np.flatnonzero(valued)
            # A line that names several sessions is read once.
            record, first, inverse = np.unique(events.record[at], return_index=True, return_inverse=True)
            messages = records.message.gather(record).to_list()
            read = [
                self._values.read(key, tokens_of(key), message)
                for key, message in zip(events.key[at[first]].tolist(), messages, strict=True)
            ]
            if read:
                values[at] = np.stack(read)[inverse]
        if self._fields is not None:
            codes = np.zeros((size, len(self._fields.fields)), dtype=np.int64)
            codes[keyed] = self._fields.codes(records.fields)[events.record[keyed]]
        return Notes(values, valued, codes)

    def rows(self, events: Observed, rules: Rules = NO_RULES, now: float = 0.0) -> Judgement:
        """Judge k events; ``rules`` silence members at ``now``, seconds."""
        if not len(events.key):
            return self._judge({member.name: np.empty(0, dtype=np.float64) for member in self.events}, 0)
        raws = {member.name: member.score(events) for member in self.events}
        for member in self.events:
            if isinstance(member, ValueMember) and member.after is not None:
                leader, bar = member.after
                raws[member.name][raws[leader] >= bar] = np.nan
        rang = self._judge(raws, len(events.key))
        if not rules:
            return rang
        found: dict[int, str] = {}
        for member in self.events:
            raw = raws[member.name]
            for at in self._strange(member.name, raw):
                rule = rules.silencing(member.clauses(events, at, self.known), now)
                if rule is not None:
                    raw[at] = np.nan
                    found[at] = rule
        return self._silenced(rang, raws, found)

    def closings(self, closings: Sequence[Closing], rules: Rules = NO_RULES, now: float = 0.0) -> Judgement:
        """Judge closed sessions; ``rules`` silence members at ``now``, seconds."""
        if not closings:
            return self._nothing_closed
        histories = end_histories(closings, self.width)
        states = [closing.state for closing in closings]
        own = {member.name: member.score_ends(histories) for member in self.events}
        own |= {member.name: member.score(states) for member in self.sessions}
        peaks = {m.name: self._peaks_of(closings, m.place) for m in self._members}
        rang = self._judge(_larger(peaks, own), len(closings))
        if not rules:
            return rang
        found: dict[int, str] = {}
        for member in self.events:
            ends = own.get(member.name)
            for at in () if ends is None else self._strange(member.name, ends):
                rule = rules.silencing(member.end_clauses(histories[at], states[at].counts, self.known), now)
                if ends is not None and rule is not None:
                    ends[at] = np.nan
                    found[at] = rule
        for end_member in self.sessions:
            raw = own.get(end_member.name)
            for at in () if raw is None else self._strange(end_member.name, raw):
                whole, *templates = end_member.clauses(states[at], self.known)
                accepted = {int(c.match): rules.silencing([c], now) for c in templates}
                accepted = {key: rule for key, rule in accepted.items() if rule is not None}
                rule = rules.silencing([whole], now) or next(iter(accepted.values()), None)
                if raw is not None and rule is not None:
                    by_whole = rules.silencing([whole], now) is not None
                    raw[at] = np.nan if by_whole else end_member.score_without(states[at], accepted)
                    found[at] = rule
        return self._silenced(rang, _larger(peaks, own), found)

    def peaks(self, judgement: Judgement, segments: Sequence[FullSegment] = ()) -> list[Peak]:
        """What of the rows' raw outputs, and of the ``segments`` that they filled, could still count when their
        sessions close."""
        found: list[Peak] = []
        for member in self.events:
            raw = judgement.raws[member.name]
            strange = self.ensemble.counts(member.name, raw)
            found.extend(Peak(row, member.place, float(raw[row])) for row in np.flatnonzero(strange).tolist())
        for end_member in self.sessions:
            if segments and end_member.sequences:
                raw = end_member.score_segments(segments)
                strange = self.ensemble.counts(end_member.name, raw)
                found.extend(
                    Peak(segments[at].at, end_member.place, float(raw[at])) for at in np.flatnonzero(strange).tolist()
                )
        return found

    def lesson_raws(self, lessons: Sequence[Lesson]) -> Float64:
        """Raw output of each lesson by the member that it names, float64 [k]; NaN where there is none, as where the
        lesson is about a timeframe."""
        raws = np.full(len(lessons), np.nan)
        for member in self._members:
            at = [i for i, lesson in enumerate(lessons) if lesson.detector == member.name]
            if at:
                raws[at] = member.score_seen([lessons[i].seen for i in at])
        return raws

    def lesson_evidence(self, lessons: Sequence[Lesson]) -> float:
        """Evidence of one alarm from what its members saw; it rings from the ensemble's threshold on."""
        largest: dict[str, float] = {}
        for lesson, raw in zip(lessons, self.lesson_raws(lessons).tolist(), strict=True):
            if raw == raw:
                largest[lesson.detector] = max(largest.get(lesson.detector, -np.inf), raw)
        return sum(part.evidence for part in self.ensemble.contributions(largest))

    @property
    def _members(self) -> Sequence[EventMember | EndMember]:
        return (*self.events, *self.sessions)

    def _strange(self, name: str, raw: Float64) -> list[int]:
        strange: list[int] = np.flatnonzero(self.ensemble.counts(name, raw)).tolist()
        return strange

    def _silenced(self, rang: Judgement, raws: dict[str, Float64], found: Mapping[int, str]) -> Judgement:
        """What is left of ``rang`` once rules were applied to the rows or closings ``found``."""
        left = self._judge(raws, len(rang.evidence))
        would = {at: rule for at, rule in found.items() if rang.anomalous[at] and not left.anomalous[at]}
        return replace(left, silenced=would)

    @staticmethod
    def _peaks_of(closings: Sequence[Closing], place: int) -> Float64:
        return np.array([closing.peaks.get(place, -np.inf) for closing in closings], dtype=np.float64)

    def _judge(self, raws: dict[str, Float64], size: int) -> Judgement:
        evidence = self.ensemble.evidence(raws) if raws else np.zeros(size)
        return Judgement(raws, evidence, self.ensemble.score(evidence), evidence >= self.ensemble.threshold)


def _larger(peaks: Mapping[str, Float64], own: Mapping[str, Float64 | None]) -> dict[str, Float64]:
    """The larger of each member's peaks and its outputs at the end, float64 [k]."""
    found = {}
    for name, peak in peaks.items():
        raw = own.get(name)
        found[name] = peak if raw is None else np.fmax(peak, raw)
    return found
