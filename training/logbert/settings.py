"""What can be set of a LogBERT training, each with its reason."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from models.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class LogBERTSettings:
    """Settings of one training. Raises ConfigError where a value cannot work."""

    width: int = 64
    heads: int = 4
    layers: int = 2
    """Two layers as in the thesis; its 256 units are for a GPU."""
    feed_forward: int = 128
    groups: int = 4
    """Passes in which every ``groups``-th key is masked; training masks one key in so many. Few keys masked at once
    leave sharp expectations: on HDFS a held-out loss of .13 nats with four, .23 with two. More passes cost more
    time."""
    end: bool = True
    """Whether the end of a session is masked and judged like a key. The published model has no end, and cannot say that
    a session breaks off: a third of HDFS's anomalies do after two or three events."""
    cut: float = 0.5
    """Share of training rows that stop short of their end, their last key masked. Where all rows end in ``EOS``, the
    last token is the end because nothing comes after it, and masking it asks nothing. Without ``end`` unused."""
    alpha: float = 0.1
    """Weight of the hypersphere's volume in the loss (the published code's, for the same mean over dimensions)."""
    unk_dropout: float = 0.01
    """Share of keys in view that training hides, so that the network knows what to do with an unknown one."""
    epochs: int = 80
    """Fewer where the held-out loss stops falling or ``tokens`` are used up."""
    rows: int = 256
    """In an epoch at least: of few distinct sessions each comes several times, masked otherwise."""
    tokens: int = 3_000_000
    """Read in one fit at most, in whole epochs and at least one: a source of long sessions would train for hours."""
    patience: int = 3
    """Looks at the held-out loss, ten in a fit, without a better one before the fit stops."""
    batch: int = 32
    """Rows in one step of the optimiser, less for long sessions; fewer take as long."""
    learning_rate: float = 3e-3
    """Of Adam at its height, after a tenth of the steps; falls to nothing as a cosine."""
    weight_power: float = 0.0
    """A session seen c times weighs c**w. Repeated ones drown the rare ones that false alarms come from: on HDFS, at
    one rate of false alarms on held-out normals, w = 0 finds more of the spoilt ones than w = 0.5."""
    g: int | None = None
    """Ranks from which on a key is anomalous; None chooses it on held-out normals."""
    false_alarm_rate: float = 0.002
    """Share of held-out normal sessions that may ring, by either member alone."""
    folds: int = 3
    """Each one is a fit more."""
    threads: int = 1
    """CPU threads of PyTorch while it fits. More are slower on busy cores."""
    min_sessions: int = 50
    """With fewer, one session moves the held-out false-alarm rate by more than two points."""

    def __post_init__(self) -> None:
        sizes = ("width", "heads", "layers", "feed_forward", "epochs", "rows", "tokens", "batch")
        for name in (*sizes, "patience", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"logbert.{name} is {getattr(self, name)}; it must be at least 1")
        if self.width % self.heads or self.width % 2:
            raise ConfigError(f"logbert.width is {self.width}; it must be even and a multiple of heads, {self.heads}")
        if self.groups < 2:
            raise ConfigError(f"logbert.groups is {self.groups}; with fewer than 2 every key would be masked at once")
        for name in ("cut", "unk_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigError(f"logbert.{name} is {getattr(self, name)}; it must lie in 0..1, 1 excluded")
        for name in ("alpha", "weight_power"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise ConfigError(f"logbert.{name} is {getattr(self, name)}; it must be a number of at least 0")
        if not 0.0 < self.learning_rate < float("inf"):
            raise ConfigError(f"logbert.learning_rate is {self.learning_rate}; it must be above 0")
        if self.g is not None and self.g < 1:
            raise ConfigError(f"logbert.g is {self.g}; it must be at least 1, or absent to have it chosen")
        if not 0.0 < self.false_alarm_rate < 1.0:
            raise ConfigError(f"logbert.false_alarm_rate is {self.false_alarm_rate}; it must lie between 0 and 1")
        if self.folds < 2 or self.min_sessions < 2 * self.folds:
            raise ConfigError("logbert.folds must be at least 2, and logbert.min_sessions at least twice that")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read back ``to_dict`` or a configuration. Raises ConfigError for a setting that does not exist."""
        names = [field.name for field in fields(cls)]
        unknown = sorted(set(state) - set(names))
        if unknown:
            raise ConfigError(f"logbert has no setting {unknown[0]!r}; its settings: {', '.join(names)}")
        return cls(**state)
