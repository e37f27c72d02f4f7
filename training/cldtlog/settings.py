"""What can be set of a CLDTLog training, each with its reason."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from models.errors import ConfigError
from training.encoder import PACKAGED


@dataclass(frozen=True, slots=True, kw_only=True)
class CLDTLogSettings:
    """Settings of one training. Raises ConfigError where a value cannot work."""

    encoder: str = PACKAGED
    """A pretrained BERT: the packaged MiniLM, a directory, or a hub name (``bert-base-uncased`` is the paper's)."""
    trained_share: float = 0.25
    """Share of the encoder's layers that is trained, the last ones, at least one; embeddings and the layers before
    stay as they are, and run once for each text (paper: 3 of 12 layers)."""
    alpha: float = 0.2
    """Weight of the triplet loss; the focal loss has the rest (paper)."""
    margin: float = 2.0
    """By how much another class's text must be farther away than one of the same class (paper)."""
    gamma: float = 3.5
    """How much the focal loss passes over what is already judged well (paper)."""
    batch: int = 64
    """Sessions (or lines) in one step (paper); drawn with replacement, so that the frequent ones come twice and cost
    nothing more."""
    anomalous_share: float = 0.08
    """Of each batch, rounded up (the published code's 6 of 64): without anomalies there is no triplet."""
    weight_power: float = 0.5
    """Sessions of equal texts seen c times are drawn with weight c**w. Evenly (0) the rare ones are learnt at the
    price of wrong odds where normal and anomalous sessions read alike; by count (1) the rare ones are hardly seen."""
    epochs: int = 10
    """At most; the fit on everything has as many as ranked the held-out sessions best (paper: 10)."""
    steps: int = 10
    """Of the optimiser in an epoch: an epoch over distinct texts alone would be one or two."""
    learning_rate: float = 1e-4
    """Of AdamW; constant, so that a fit may end after any epoch. At 3e-4, cross-fitted on the first 60 % of BGL_2k,
    a new kind of normal line soon reads like an anomaly."""
    weight_decay: float = 1e-4
    folds: int = 3
    """Of sessions, each judged by a fit on the others."""
    false_alarm_rate: float = 0.002
    """Share of held-out normal sessions (or lines) that may ring when the threshold is chosen."""
    min_normal: int = 50
    min_anomalous: int = 10
    """Sessions (or lines) of each class: with fewer anomalies, a fold holds out three or none, and says nothing."""
    max_texts: int = 4_000
    """Distinct texts that are trained on, some 100 MB of what the frozen layers make of them; sessions with others
    are left out, normal ones first."""
    exemplars: int = 32
    """Labelled texts of each class that the bundle keeps to explain by."""
    threads: int = 1
    """CPU threads of PyTorch while it fits."""

    def __post_init__(self) -> None:
        for name in ("batch", "epochs", "steps", "min_normal", "max_texts", "exemplars", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"cldtlog.{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("margin", "gamma", "weight_power", "weight_decay"):
            if not getattr(self, name) >= 0.0:
                raise ConfigError(f"cldtlog.{name} is {getattr(self, name)}; it must not be below 0")
        for name in ("anomalous_share", "false_alarm_rate"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ConfigError(f"cldtlog.{name} is {getattr(self, name)}; it must lie between 0 and 1")
        if not 0.0 <= self.alpha <= 1.0:
            raise ConfigError(f"cldtlog.alpha is {self.alpha}; it must lie in 0..1")
        if not 0.0 < self.trained_share <= 1.0:
            raise ConfigError(f"cldtlog.trained_share is {self.trained_share}; it must be above 0 and at most 1")
        if not self.learning_rate > 0.0:
            raise ConfigError(f"cldtlog.learning_rate is {self.learning_rate}; it must be above 0")
        if self.folds < 2 or min(self.min_normal, self.min_anomalous) < self.folds:
            raise ConfigError("cldtlog.folds must be at least 2, and neither least number of sessions below it")
        if not self.encoder:
            raise ConfigError("cldtlog.encoder is empty; name an encoder or leave it out")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read back ``to_dict`` or a configuration. Raises ConfigError for a setting that does not exist."""
        names = [field.name for field in fields(cls)]
        unknown = sorted(set(state) - set(names))
        if unknown:
            raise ConfigError(f"cldtlog has no setting {unknown[0]!r}; its settings: {', '.join(names)}")
        return cls(**state)
