"""What can be set of a training of the parameter-value model, each with its reason."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self, get_args

from models.deeplog_values.detector import Rule
from models.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepLogValuesSettings:
    """Settings of one training. Raises ConfigError where a value cannot work."""

    h: int = 10
    """Earlier vectors of the same template in the session (paper, section 3.2)."""
    positions: int = 16
    """Cells of a vector at most, the elapsed time counted: they are kept for each live session."""
    numeric: float = 0.95
    """Share of a parameter's values in training that must be numbers for it to be one."""
    validation: float = 0.25
    """Share of the sessions, the newest, that the network does not learn from: normal ranges come from them. Less
    leaves the rarer templates without a tail, more without a model."""
    drift: float = 0.1
    """A number that lies outside its range of the older sessions in more than this share of the newest ones is a
    counter or an identifier: it says nothing about health and is left out."""
    tail: int = 2_000
    """Deviations behind each limit; where the newest sessions have fewer, those of the sessions before them, which the
    network did learn from, make them up: limits that one line in a thousand reaches need long tails to be seen, and
    most of them are of numbers that cannot be told from their history anyway."""
    rule: Rule = "quantile"
    """How a vector is judged; see ``models.deeplog_values.detector.DeepLogValues``."""
    confidence: float = 0.99
    """Of the normal range: on 1 % of normal vectors the raw output reaches 1."""
    embedding: int = 8
    hidden: int = 32
    """One LSTM serves all templates: hidden units of 64 are no better and half as fast."""
    steps: int = 600
    """Of the optimiser, however much data there is."""
    batch: int = 256
    learning_rate: float = 5e-3
    """Of Adam at the start; falls to nothing as a cosine."""
    weight_decay: float = 0.1
    """Keeps a template of a few samples near its mean."""
    events: int = 500_000
    """Of the newest sessions that are learned from, at most: more lines take longer to read and tell no more."""
    threads: int = 1
    """CPU threads of PyTorch while it fits."""
    min_sessions: int = 20
    """Fewer leave under five newest ones to take normal ranges from."""

    def __post_init__(self) -> None:
        for name in ("h", "positions", "tail", "embedding", "hidden", "steps", "batch", "events", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"deeplog_values.{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("numeric", "validation", "drift", "confidence"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ConfigError(f"deeplog_values.{name} is {getattr(self, name)}; it must lie between 0 and 1")
        if self.rule not in get_args(Rule):
            raise ConfigError(f"deeplog_values.rule is {self.rule!r}; it must be one of {', '.join(get_args(Rule))}")
        if not self.learning_rate > 0.0:
            raise ConfigError(f"deeplog_values.learning_rate is {self.learning_rate}; it must be above 0")
        if not self.weight_decay >= 0.0:
            raise ConfigError(f"deeplog_values.weight_decay is {self.weight_decay}; it must not be below 0")
        if self.min_sessions < 2:
            raise ConfigError(f"deeplog_values.min_sessions is {self.min_sessions}; it must be at least 2")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read back ``to_dict`` or a configuration. Raises ConfigError for a setting that does not exist."""
        names = [field.name for field in fields(cls)]
        unknown = sorted(set(state) - set(names))
        if unknown:
            raise ConfigError(f"deeplog_values has no setting {unknown[0]!r}; its settings: {', '.join(names)}")
        return cls(**state)
