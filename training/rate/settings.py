"""What can be set of the rates, each with its reason."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np

from models.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSettings:
    """Settings of one training. Raises ConfigError where a value cannot work."""

    bucket_s: float = 300.0
    """Length of a bucket in seconds: a source that goes quiet rings five to ten minutes and ``lateness_s`` later, an
    hour has twelve buckets to learn from, and most series have counts that tell. As long as AutoLog's timeframes."""
    alarms_per_week: float = 1.0
    """False alarms of all series together that are aimed at, by the tails of held-out buckets."""
    templates: int = 100
    """Most frequent templates that have a rhythm of their own; the others are one series."""
    min_buckets: int = 36
    """Fewer are no rate at all; three hours."""
    max_days: float = 56.0
    """The newest days that are learned from; older ones say less of today."""

    def __post_init__(self) -> None:
        if not 1.0 <= self.bucket_s <= 3600.0:
            raise ConfigError(f"rate.bucket_s is {self.bucket_s}; it must lie between 1 and 3600")
        if not 0.0 < self.alarms_per_week <= 100.0:
            raise ConfigError(f"rate.alarms_per_week is {self.alarms_per_week}; it must be above 0 and at most 100")
        if not 0 <= self.templates <= 1_000:
            raise ConfigError(f"rate.templates is {self.templates}; it must lie between 0 and 1000")
        if self.min_buckets < 10:
            raise ConfigError(f"rate.min_buckets is {self.min_buckets}; it must be at least 10")
        if not 1.0 <= self.max_days < np.inf:
            raise ConfigError(f"rate.max_days is {self.max_days}; it must be at least 1")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read back ``to_dict`` or a configuration. Raises ConfigError for a setting that does not exist."""
        names = [field.name for field in fields(cls)]
        unknown = sorted(set(state) - set(names))
        if unknown:
            raise ConfigError(f"rate has no setting {unknown[0]!r}; its settings: {', '.join(names)}")
        try:
            return cls(**state)
        except TypeError as error:
            raise ConfigError(f"a setting of rate is no number: {error}") from error
