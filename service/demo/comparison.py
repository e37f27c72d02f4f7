"""What Tocsin caught beside what grep and new events alone would have caught, and whether the stated figures hold."""

from dataclasses import dataclass
from typing import Any

from service.demo.sample import LaterPart
from service.demo.stated import Stated
from service.replay.report import Quality, quality
from service.replay.tally import Tally


@dataclass(frozen=True, slots=True)
class Comparison:
    """Three ways to judge the same sessions."""

    tocsin: Quality
    grep: Quality
    new_event: Quality

    @classmethod
    def of(cls, part: LaterPart, tally: Tally) -> "Comparison":
        """By what came back (``tally``) and by what stands in the log. New event: a line whose template is new."""
        return cls(*(quality(part.counted, rang, part.labels) for rang in (tally.rang, part.grep, tally.novel)))

    def methods(self) -> dict[str, Quality]:
        """By the name that tables show."""
        return {"Tocsin": self.tocsin, "grep -E 'ERROR|FATAL'": self.grep, "new event": self.new_event}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"tocsin": self.tocsin.to_dict(), "grep": self.grep.to_dict(), "new_event": self.new_event.to_dict()}

    def missed(self, stated: Stated) -> list[str]:
        """Which of the stated figures were not reached, in words; empty where all were."""
        found = self.tocsin
        reasons = []
        if found.counts.recall < stated.recall:
            reasons.append(f"recall is {found.counts.recall:.3f}, stated is at least {stated.recall:.3f}")
        if found.kinds_caught < stated.kinds:
            reasons.append(f"{found.kinds_caught} kinds of fault were caught, stated are at least {stated.kinds}")
        if found.counts.fp > stated.false_alarms:
            reasons.append(f"{found.counts.fp} false alarms, stated are at most {stated.false_alarms}")
        return reasons
