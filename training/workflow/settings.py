"""What can be set of the construction of a workflow, each with its reason."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from models.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowSettings:
    """Settings of one construction. Raises ConfigError where a value cannot work."""

    certain: float = 0.9
    """tau: a probability from which on a key always follows (paper, section 4: close to one)."""
    rare: float = 0.05
    """A next key less probable is no candidate at a divergence: networks spread a little over every key."""
    longest: int = 5
    """Keys of context that may tell two uses of one key apart. Each is tried only where a shorter one leaves open
    what follows; more would tell apart what merely happened in different company."""
    distance: int = 5
    """d_max: events within which a key of the same task follows, in density clustering."""
    fragment: int = 10
    """The longest fragment whose repetitions are folded into a loop before contexts are compared."""
    branch: int = 3
    """Own keys up to which an alternative is a branch of its task; with more it is a task of its own (paper)."""
    fork: int = 8
    """Events that a fork may hold: its states multiply."""
    support: int = 5
    """Sessions from which on an alternative may be a task, a fork or a context of its own: fewer show too little."""
    nodes: int = 300
    """A task with more steps is drawn by its keys alone, each once."""
    windows: int = 50_000
    """Distinct windows that the network is asked about, the most frequent first."""
    held_out: float = 0.2
    """Share of the sessions on which the two ways are compared."""
    min_sessions: int = 20
    """Fewer cannot hold any out."""

    def __post_init__(self) -> None:
        for name in ("longest", "distance", "fragment", "branch", "fork", "support", "nodes", "windows"):
            if getattr(self, name) < 1:
                raise ConfigError(f"workflow.{name} is {getattr(self, name)}; it must be at least 1")
        if not 0.5 < self.certain < 1.0:
            raise ConfigError(f"workflow.certain is {self.certain}; it must lie between 0.5 and 1")
        if not 0.0 < self.rare < 0.5:
            raise ConfigError(f"workflow.rare is {self.rare}; it must lie between 0 and 0.5")
        if not 0.0 < self.held_out <= 0.5:
            raise ConfigError(f"workflow.held_out is {self.held_out}; it must be above 0 and at most 0.5")
        if self.min_sessions < 2:
            raise ConfigError(f"workflow.min_sessions is {self.min_sessions}; it must be at least 2")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """From plain JSON. Raises ConfigError for a setting that there is not."""
        unknown = sorted(set(state) - {field.name for field in fields(cls)})
        if unknown:
            raise ConfigError(f"workflow has no setting {unknown[0]!r}")
        return cls(**state)
