"""What can be set of a DeepLog training, each with its reason."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self, get_args

from models.deeplog.detector import Rule
from models.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepLogSettings:
    """Settings of one training. Raises ConfigError where a value cannot work."""

    detector: ClassVar[str] = "deeplog"
    """Named in errors; a detector that is trained alike has its own settings below these."""

    h: int = 10
    """Keys of history (paper, section 3.1)."""
    embedding: int = 32
    hidden: int = 64
    layers: int = 2
    """Two layers of 64 units as in the paper."""
    unk_dropout: float = 0.01
    """Share of history keys that training hides, so that the network knows what to do with an unknown one."""
    epochs: int = 20
    """Fewer where the held-out loss stops falling, more where they make fewer than ``steps``."""
    steps: int = 300
    """Of the optimiser, at least: a source with few distinct windows has few in an epoch. Strict programs judged by
    surprisal gain from more, 1,200 say, as improbable steps become ever less probable."""
    patience: int = 5
    """Of ``epochs``, without a better held-out loss before a fit stops."""
    batch: int = 256
    """Distinct windows in one step, fewer where that would leave fewer than eight steps in an epoch."""
    learning_rate: float = 5e-3
    """Of Adam at the start; falls to nothing as a cosine."""
    weight_powers: tuple[float, ...] = (0.0, 0.5, 1.0)
    """A window seen c times weighs c**w; w is chosen among these on held-out normals. More than one is worth trying
    because repeated windows drown the rare ones that false alarms come from."""
    rule: Rule = "rank"
    """How a key is judged; see ``models.deeplog.detector.DeepLog``."""
    g: float | None = None
    """Keys that may follow, or nats from which on a key is anomalous; None chooses it on held-out normals."""
    false_alarm_rate: float = 0.002
    """Share of held-out normal sessions that may ring when g is chosen. Where 3 % of sessions are anomalous, one
    alarm in sixteen is then false; at 0.5 % it would be one in seven. Fewer than 500 sessions may not ring at all."""
    folds: int = 5
    screened: int = 2
    """Folds on which every w is tried; only the best one goes through the others."""
    threads: int = 1
    """CPU threads of PyTorch while it fits. Two are a third faster on idle cores and many times slower on busy
    ones."""
    min_sessions: int = 50
    """Ten a fold: with fewer, one session moves the held-out false-alarm rate by more than two points."""

    def __post_init__(self) -> None:
        for name in ("h", "embedding", "hidden", "layers", "epochs", "steps", "patience", "batch", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{self.detector}.{name} is {getattr(self, name)}; it must be at least 1")
        if self.g is not None and not self.g > 0.0:
            raise ConfigError(f"{self.detector}.g is {self.g}; it must be above 0, or absent to have it chosen")
        if self.rule not in get_args(Rule):
            raise ConfigError(f"{self.detector}.rule is {self.rule!r}; it must be one of {', '.join(get_args(Rule))}")
        if not 0.0 <= self.unk_dropout < 1.0:
            raise ConfigError(f"{self.detector}.unk_dropout is {self.unk_dropout}; it must lie in 0..1, 1 excluded")
        if not self.learning_rate > 0.0:
            raise ConfigError(f"{self.detector}.learning_rate is {self.learning_rate}; it must be above 0")
        if not 0.0 < self.false_alarm_rate < 1.0:
            raise ConfigError(
                f"{self.detector}.false_alarm_rate is {self.false_alarm_rate}; it must lie between 0 and 1"
            )
        if not self.weight_powers or min(self.weight_powers) < 0.0:
            raise ConfigError(f"{self.detector}.weight_powers must hold at least one number, none below 0")
        if not 1 <= self.screened <= self.folds:
            raise ConfigError(f"{self.detector}.screened is {self.screened}; it must lie in 1..{self.folds}, the folds")
        if self.folds < 2 or self.min_sessions < 2 * self.folds:
            raise ConfigError(
                f"{self.detector}.folds must be at least 2, and {self.detector}.min_sessions at least twice that"
            )

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "weight_powers": list(self.weight_powers)}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read back ``to_dict`` or a configuration. Raises ConfigError for a setting that does not exist."""
        unknown = sorted(set(state) - {field.name for field in fields(cls)})
        if unknown:
            raise ConfigError(f"{cls.detector} has no setting {unknown[0]!r}; its settings: {', '.join(cls.names())}")
        values = dict(state)
        if "weight_powers" in values:
            values["weight_powers"] = tuple(values["weight_powers"])
        return cls(**values)

    @classmethod
    def names(cls) -> list[str]:
        """Names of all settings."""
        return [field.name for field in fields(cls)]
