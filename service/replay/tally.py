"""What came back from a service during a replay, added up answer by answer. Knows no labels and no HTTP."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

SHOWN_REJECTIONS = 5


@dataclass(slots=True)
class Tally:
    """Counts so far.

    Verdicts of ended sessions are taken from ``GET /verdicts`` alone (``add_ends``): the answers to batches repeat some
    of them. ``rejections`` are the first rejected lines, (line of the log from 1, why); ``latencies_s`` has one entry a
    batch.
    """

    lines: int = 0
    rejected: int = 0
    rejections: list[tuple[int, str]] = field(default_factory=list)
    failed: int = 0
    """Lines that were accepted for later and could not be judged."""
    failures: set[str] = field(default_factory=set)
    states: Counter[str] = field(default_factory=Counter)
    line_verdicts: int = 0
    anomalous_lines: int = 0
    session_verdicts: int = 0
    anomalous_ends: int = 0
    ends_in_answers: int = 0
    incidents: set[str] = field(default_factory=set)
    rang: set[str] = field(default_factory=set)
    """Sessions with an anomalous verdict, of a line or of their end."""
    novel: set[str] = field(default_factory=set)
    """Sessions with a line whose template the live bundle does not know."""
    versions: set[str] = field(default_factory=set)
    latencies_s: list[float] = field(default_factory=list)
    retries: int = 0

    def add_answer(self, answer: dict[str, Any], items: Sequence[int], lines: int) -> None:
        """The answer to one batch of ``lines`` lines whose i-th item is the log line ``items[i]`` (from 0)."""
        self.lines += lines
        self.rejected += len(answer["rejected"])
        for rejection in answer["rejected"][: SHOWN_REJECTIONS - len(self.rejections)]:
            self.rejections.append((items[rejection["index"]] + 1, str(rejection["error"])))
        for failure in answer.get("failed", ()):
            self.failed += failure["lines"]
            self.failures.add(str(failure["reason"]))
        version = answer.get("versions", {}).get("bundle")
        if version is not None:
            self.versions.add(str(version))
        for verdict in answer["verdicts"]:
            if verdict["kind"] != "line":
                self.ends_in_answers += 1
                continue
            self.line_verdicts += 1
            self.states[verdict["state"]] += 1
            if verdict["novel"]:
                self.novel.add(verdict["session"])
            if verdict["anomalous"]:
                self.anomalous_lines += 1
                self._ring(verdict)

    def add_ends(self, verdicts: Sequence[dict[str, Any]]) -> None:
        """Verdicts of ended sessions, each once."""
        for verdict in verdicts:
            self.session_verdicts += 1
            self.states[verdict["state"]] += 1
            if verdict["anomalous"]:
                self.anomalous_ends += 1
                self._ring(verdict)

    def _ring(self, verdict: dict[str, Any]) -> None:
        self.rang.add(verdict["session"])
        if verdict["incident"] is not None:
            self.incidents.add(verdict["incident"])
