"""What can be set of an AutoLog training, each with its reason."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np

from models.autolog.entity import EntityRule
from models.errors import ConfigError
from training.member import FALSE_ALARM_RATE

ENTITY_FIELDS = ("component", "logger", "program", "service", "host", "node")
"""Header fields that name who writes, in the order in which one is taken where none is set."""
PUBLISHED_PERCENTILE = 90.0
"""Of the held-out rows' errors (the authors' threshold): a tenth of the normal timeframes ring by construction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoLogSettings:
    """Settings of one training. Raises ConfigError where a value cannot work."""

    chunk_s: float = 300.0
    """Length of a timeframe in seconds, as the authors' code runs on BGL."""
    entity_field: str | None = None
    """Header field that names the logging entity; None takes the first of ``ENTITY_FIELDS`` that the log has, and one
    entity for the whole log where it has none."""
    entity_pattern: str | None = None
    """Finds the entity in that field, by its first group: ``^([^-]+)`` makes racks of BGL's nodes."""
    lateness_s: float = 60.0
    """How far the watermark stays behind, seconds; as the source's, so that training drops the lines that the service
    would call late."""
    validation: float = 0.1
    """Share of the normal timeframes, the newest, that a first fit does not see. The network served is fitted on all;
    calibration and threshold come from the larger of the two networks' errors on them."""
    percentile: float | None = None
    """Of the held-out errors, above which a timeframe rings; 90 is published. None, our own: the least error that
    keeps ``false_alarm_rate``, as a tenth of all timeframes is more than a person can look at."""
    false_alarm_rate: float = FALSE_ALARM_RATE
    """Share of held-out timeframes that may ring where no percentile is set; of fewer than 500, none may."""
    wide: int = 128
    narrow: int = 64
    dropout: float = 0.6
    """Published for 67 entities; kept for fewer, where the two dropouts and the penalty hold the network back."""
    activity: float = 1e-4
    """L1 penalty on the activated outputs of every layer, summed and divided by the rows of the batch."""
    learning_rate: float = 1e-3
    """Of RMSprop, with Keras' other defaults (rho 0.9, epsilon 1e-7)."""
    epochs: int = 50
    """Published; more where they make fewer than ``steps``."""
    batch: int = 2048
    """Rows in one step; published."""
    steps: int = 300
    """Of the optimiser, at least: a log of a few hundred timeframes gets 50 by the published rule, after which the
    network gives back next to nothing, and a silent entity looks like the best of rows (area under the curve 0.70; 0.91
    at 300, 0.93 at 1,500 on made frames). 1 restores the published rule."""
    threads: int = 1
    """CPU threads of PyTorch while it fits."""
    min_frames: int = 50
    """Normal timeframes, the silent ones among them; five of so few are held out."""

    def __post_init__(self) -> None:
        EntityRule("field" if self.entity_field is None else self.entity_field, self.entity_pattern)
        for name in ("wide", "narrow", "epochs", "batch", "steps", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"autolog.{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("chunk_s", "learning_rate"):
            if not 0.0 < getattr(self, name) < np.inf:
                raise ConfigError(f"autolog.{name} is {getattr(self, name)}; it must be above 0")
        for name in ("lateness_s", "activity"):
            if not getattr(self, name) >= 0.0:
                raise ConfigError(f"autolog.{name} is {getattr(self, name)}; it must be at least 0")
        for name in ("validation", "false_alarm_rate"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ConfigError(f"autolog.{name} is {getattr(self, name)}; it must lie between 0 and 1")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"autolog.dropout is {self.dropout}; it must lie in 0..1, 1 excluded")
        if self.percentile is not None and not 0.0 <= self.percentile <= 100.0:
            raise ConfigError(f"autolog.percentile is {self.percentile}; it must lie in 0..100, or be absent")
        if self.min_frames < 10:
            raise ConfigError(f"autolog.min_frames is {self.min_frames}; it must be at least 10")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read back ``to_dict`` or a configuration. Raises ConfigError for a setting that does not exist."""
        names = [field.name for field in fields(cls)]
        unknown = sorted(set(state) - set(names))
        if unknown:
            raise ConfigError(f"autolog has no setting {unknown[0]!r}; its settings: {', '.join(names)}")
        return cls(**state)
