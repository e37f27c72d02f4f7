"""The live sessions of one source in memory.

Owns the plain form of what the service keeps in Redis; used offline, and by the property test that holds the two equal.
"""

from models.groups import Groups
from models.notes import Float64, Int64, SessionNotes
from models.sessions import NO_KEY, Closing, Rows, SessionSettings, SessionState, cut, extend
from models.windows import Priors, Windows, build_windows


class LiveSessions:
    """Sessions of one source in memory: the plain form of what the service keeps in Redis; used offline.

    Not safe for concurrent use.
    """

    def __init__(self, settings: SessionSettings) -> None:
        self.settings = settings
        self._states: dict[str, SessionState] = {}
        self._peaks: dict[str, dict[int, float]] = {}
        self._notes: dict[str, SessionNotes] = {}

    def __len__(self) -> int:
        return len(self._states)

    def state(self, session: str) -> SessionState | None:
        """State of a live session, None where there is none."""
        return self._states.get(session)

    def append(self, rows: Rows) -> tuple[Windows, list[Closing]]:
        """Append rows; returns the windows of the keyed rows, and the sessions that these rows closed, in row order."""
        groups = Groups.by(rows.session)
        priors = [self._states.get(name) for name in groups.names]
        windows = build_windows(rows, groups, Priors.of(priors), self.settings, self._notes)
        keys = rows.key.tolist()
        own_notes = self._own_notes(rows, windows)
        closings: list[Closing] = []
        for number, (session, before) in enumerate(zip(groups.names, priors, strict=True)):
            numbers = groups.rows(number).tolist()
            span = None if before is None else (before.started, before.last)
            segments = cut(
                span, [keys[r] for r in numbers], rows.time[numbers].tolist(), rows.watermark[numbers].tolist(),
                rows.ends[numbers].tolist(), self.settings.idle_s,
            )  # fmt: skip
            self._states.pop(session, None)
            kept = self._notes.pop(session, None)
            for segment in segments:
                keyed = [numbers[i] for i in range(segment.start, segment.stop) if keys[numbers[i]] != NO_KEY]
                own = [keys[row] for row in keyed]
                prior = before if segment.continues else None
                state = extend(prior, own, segment.started, segment.last, self.settings.tail)
                if segment.closed_by is None:
                    self._states[session] = state
                    if self.settings.notes.stored:
                        noted = kept if segment.continues and kept is not None else SessionNotes()
                        added = [(keys[row], *own_notes[row]) for row in keyed]
                        self._notes[session] = noted.extended(added, self.settings.notes)
                else:
                    peaks = self._peaks.pop(session, {}) if segment.continues else {}
                    closings.append(Closing(session, state, peaks, numbers[segment.closed_by]))
        closings.sort(key=lambda closing: closing.row if closing.row is not None else -1)
        return windows, closings

    def sweep(self, watermark: float) -> list[Closing]:
        """Close every session whose silence the watermark has passed, the longest silent first."""
        due = [
            (state.last, name) for name, state in self._states.items() if state.last + self.settings.idle_s < watermark
        ]
        return [self._close(name) for _, name in sorted(due)]

    def close_all(self) -> list[Closing]:
        """Close every live session, the longest silent first: the whole-session protocol's last step."""
        return [self._close(name) for _, name in sorted((s.last, name) for name, s in self._states.items())]

    def raise_peak(self, session: str, started: float, member: int, raw: float) -> None:
        """Remember the largest raw output of an event member in a live session; ignored once that epoch is over."""
        state = self._states.get(session)
        if state is None or state.started != started:
            return
        peaks = self._peaks.setdefault(session, {})
        peaks[member] = max(raw, peaks.get(member, raw))

    def _own_notes(self, rows: Rows, windows: Windows) -> dict[int, tuple[Float64 | None, Int64 | None]]:
        """Vector and codes of each keyed row."""
        vectors = dict(zip(windows.values.at.tolist(), windows.values.values, strict=True)) if windows.values else {}
        codes = windows.codes.codes if windows.codes else None
        return {
            row: (vectors.get(at), None if codes is None else codes[at]) for at, row in enumerate(windows.row.tolist())
        }

    def _close(self, session: str) -> Closing:
        self._notes.pop(session, None)
        return Closing(session, self._states.pop(session), self._peaks.pop(session, {}), None)
