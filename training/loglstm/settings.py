"""What can be set of a LogLSTM training, each with its reason."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from models.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLSTMSettings:
    """Settings of one training. Raises ConfigError where a value cannot work."""

    length: int = 10
    """Keys of a window, the one judged included."""
    embedding: int = 8
    """Numbers of a key's vector, as published."""
    context: int = 2
    """Keys on either side that a key is guessed from when vectors are learned."""
    vector_steps: int = 600
    """Of the optimiser that learns vectors, at least; ``epochs`` times through the sessions where that is more."""
    hidden: int = 64
    """Units of each direction. The published 128 train in three times the time."""
    negatives: int = 20
    """Spoilt windows for each distinct normal one, as published; drawn afresh for each epoch, an equal share of them in
    each, so that none is seen twice."""
    epochs: int = 10
    """Fewer never; more where they make fewer than ``steps``."""
    steps: int = 600
    """Of the optimiser, at least: a source with few distinct windows has few in an epoch."""
    batch: int = 128
    """Windows in one step, normal and spoilt."""
    learning_rate: float = 2e-3
    """Of Adam at the start; falls to nothing as a cosine."""
    weight_power: float = 0.5
    """A normal window seen c times weighs c to this power, on average 1: repeated ones would drown the rare ones that
    false alarms come from."""
    unk_dropout: float = 0.01
    """Share of keys that training hides, so that the network knows what to do with an unknown one."""
    folds: int = 3
    """Each costs a fit."""
    threads: int = 1
    """CPU threads of PyTorch while it fits."""
    min_sessions: int = 50
    """With fewer, one session moves the held-out false-alarm rate by more than two points."""

    def __post_init__(self) -> None:
        for name in (
            "embedding", "context", "vector_steps", "hidden", "negatives", "epochs", "steps", "batch", "threads",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise ConfigError(f"loglstm.{name} is {getattr(self, name)}; it must be at least 1")
        if self.length < 2:
            raise ConfigError(f"loglstm.length is {self.length}; it must be at least 2, a key and one before it")
        if not self.learning_rate > 0.0:
            raise ConfigError(f"loglstm.learning_rate is {self.learning_rate}; it must be above 0")
        if not self.weight_power >= 0.0:
            raise ConfigError(f"loglstm.weight_power is {self.weight_power}; it must not be below 0")
        if not 0.0 <= self.unk_dropout < 1.0:
            raise ConfigError(f"loglstm.unk_dropout is {self.unk_dropout}; it must lie in 0..1, 1 excluded")
        if self.folds < 2:
            raise ConfigError(f"loglstm.folds is {self.folds}; it must be at least 2")
        if self.min_sessions < 2 * self.folds:
            raise ConfigError(f"loglstm.min_sessions is {self.min_sessions}; it must be at least twice the folds")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read back ``to_dict`` or a configuration. Raises ConfigError for a setting that does not exist."""
        names = [field.name for field in fields(cls)]
        unknown = sorted(set(state) - set(names))
        if unknown:
            raise ConfigError(f"loglstm has no setting {unknown[0]!r}; its settings: {', '.join(names)}")
        return cls(**state)
