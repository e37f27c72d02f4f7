"""What one round of the learner came to, for whoever asked for it."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one round came to. ``state``: ``idle`` (nothing waits, or another learner works on it), ``settled`` (nothing
    could be learned of what waited), ``refused`` (no first version could be made of what came in), ``rejected``,
    ``published``, ``overtaken`` (another version went live, or another learner took over: what waits is learned
    again). ``why``: of a refusal."""

    source: str
    state: str
    version: str | None = None
    learned: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()
    gate: dict[str, Any] = field(default_factory=dict)
    why: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "source": self.source, "state": self.state, "version": self.version, "learned": list(self.learned),
            "left": list(self.left), "retired": list(self.retired), "gate": self.gate, "why": self.why,
        }  # fmt: skip
