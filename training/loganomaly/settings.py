"""What can be set of a LogAnomaly training, each with its reason."""

from dataclasses import dataclass
from typing import ClassVar

from models.errors import ConfigError
from training.deeplog import DeepLogSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class LogAnomalySettings(DeepLogSettings):
    """Settings of one training: DeepLog's, as both are trained and judged alike, and what LogAnomaly has besides.

    ``embedding``: of a key, or what its template's vector is projected down to; ``hidden``: of each of
    the two LSTMs; ``layers``: of the sequence LSTM. Raises ConfigError where a value cannot work.
    """

    detector: ClassVar[str] = "loganomaly"

    count_dropout: float = 0.5
    """Share of windows that training judges without their counts. Without it, the end of a normal HDFS session cut
    after two or three events, a place that training never shows, had raw outputs from 8 on, with it from 12 on (one
    fold, two seeds)."""
    similarity: float = 0.9
    """Least cosine at which an unknown template is read as the nearest known one; below, it is an anomaly."""

    def __post_init__(self) -> None:
        # A dataclass with slots is made anew, and super() without arguments would look for the one before.
        DeepLogSettings.__post_init__(self)
        if not 0.0 <= self.count_dropout < 1.0:
            raise ConfigError(f"loganomaly.count_dropout is {self.count_dropout}; it must lie in 0..1, 1 excluded")
        if not 0.0 < self.similarity <= 1.0:
            raise ConfigError(f"loganomaly.similarity is {self.similarity}; it must lie in 0..1, 0 excluded")
