"""Figures of a replay: throughput, latency, verdicts, and with labels what was caught.

Owns how sessions are counted: a session is anomalous if any verdict of it is. Terminal output is the command's.
"""

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from models.errors import DataError
from service.replay.batches import Ends
from service.replay.stream import Replayed
from training.logs import Labels
from training.metrics import Confusion, confusion


@dataclass(frozen=True, slots=True)
class Quality:
    """Sessions judged against labels; ``by_kind`` has (caught, of) for each kind of anomaly."""

    counts: Confusion
    by_kind: dict[str, tuple[int, int]]

    @property
    def sessions(self) -> int:
        """Sessions counted."""
        c = self.counts
        return c.tp + c.fp + c.fn + c.tn

    @property
    def kinds_caught(self) -> int:
        """Kinds of which at least one session was caught."""
        return sum(caught > 0 for caught, _ in self.by_kind.values())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, the derived figures included."""
        c = self.counts
        return {
            "sessions": self.sessions,
            **asdict(c),
            "precision": c.precision,
            "recall": c.recall,
            "f1": c.f1,
            "fpr": c.fpr,
            "recall_by_kind": {kind: {"caught": n, "of": of} for kind, (n, of) in self.by_kind.items()},
        }


def quality(sessions: Iterable[str], rang: Collection[str], labels: Labels) -> Quality:
    """Judge those of ``sessions`` that have a label; ``rang`` are the sessions that raised an alarm.

    Raises DataError where none has a label.
    """
    labelled = [session for session in sessions if session in labels.anomalous]
    if not labelled:
        raise DataError("no session of the counted part is in the labels; check labels and the source's session rule")
    alarms = [session in rang for session in labelled]
    kinds: dict[str, tuple[int, int]] = {}
    for session, alarm in zip(labelled, alarms, strict=True):
        kind = labels.kind.get(session)
        if kind is not None and labels.anomalous[session]:
            caught, of = kinds.get(kind, (0, 0))
            kinds[kind] = (caught + alarm, of + 1)
    counts = confusion(alarms, [labels.anomalous[session] for session in labelled])
    return Quality(counts, dict(sorted(kinds.items())))


@dataclass(frozen=True, slots=True)
class Report:
    """What a replay is reported as. Latencies are of requests that were answered, in milliseconds."""

    protocol: str
    replayed: Replayed
    quality: Quality | None = None

    @property
    def lines_per_s(self) -> float:
        """Lines sent and answered in a second; 0 where no time passed."""
        return self.replayed.tally.lines / self.replayed.seconds if self.replayed.seconds else 0.0

    def latency_ms(self, share: float) -> float:
        """The latency that ``share`` of the requests stayed below."""
        return float(np.quantile(self.replayed.tally.latencies_s or [0.0], share)) * 1000

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        tally = self.replayed.tally
        return {
            "protocol": self.protocol,
            "versions": sorted(tally.versions),
            "lines": tally.lines,
            "rejected": tally.rejected,
            "failed": tally.failed,
            "rejections": [{"line": line, "error": error} for line, error in tally.rejections],
            "seconds": self.replayed.seconds,
            "lines_per_s": self.lines_per_s,
            "requests": len(tally.latencies_s),
            "retries": tally.retries,
            "latency_ms": {"p50": self.latency_ms(0.5), "p99": self.latency_ms(0.99)},
            "verdicts": {
                "line": {"seen": tally.line_verdicts, "anomalous": tally.anomalous_lines},
                "session": {"seen": tally.session_verdicts, "anomalous": tally.anomalous_ends},
                "states": dict(tally.states),
            },
            "incidents": len(tally.incidents),
            "sessions_rang": len(tally.rang),
            "sessions_live": self.replayed.live,
            "quality": None if self.quality is None else self.quality.to_dict(),
        }


def protocol(idle_s: float, ends: Ends, connections: int = 1) -> str:
    """The session protocol in words: every figure by session depends on it."""
    words = f"as streamed, sessions close after {idle_s:g} s of silence"
    if ends == "last_line":
        words += ", with end markers (each session is closed at its last line)"
    elif ends == "end_of_log":
        words += ", with end markers at the end of the log for the sessions still open there"
    if connections > 1:
        words += f"; {connections} connections, times in order only between rounds"
    return words
