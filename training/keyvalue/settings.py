"""What can be set of a training of the key and value LSTM, each with its reason."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from models.errors import ConfigError
from models.keyvalue.places import LARGEST_CODE


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyValueSettings:
    """Settings of one training. Raises ConfigError where a value cannot work."""

    length: int = 10
    """Events of a window, the one judged included, as published."""
    fields: tuple[str, ...] | None = None
    """Header fields to read, each with its ``max_values`` commonest values; None reads those that have no more."""
    excluded: tuple[str, ...] = ("label", "date", "clock")
    """Header fields never read: a label that a data set carries in its lines, and times, which do not come again."""
    max_values: int = 64
    """Of a field; what has more (thread, request, user) names a run instead of describing it, and leaves hardly two
    windows equal."""
    value_sessions: int = 5
    """Sessions in which a value must come for a code of its own: a session id never does."""
    embedding: int = 32
    """Numbers that the merged one-hot vector of an event becomes."""
    hidden: int = 32
    layers: int = 2
    """As published."""
    pos_weight: float = 5.0
    """How much more a window of an anomalous session weighs, as published."""
    weight_power: float = 0.5
    """A distinct window seen c times weighs c to this power, on average 1, its share of anomalous sessions being its
    label: repeated ones would drown the rare ones."""
    epochs: int = 30
    steps: int = 600
    """Of the optimiser, at least: a source with few distinct windows has few in an epoch."""
    batch: int = 256
    learning_rate: float = 3e-3
    """Of Adam at the start; falls to nothing as a cosine."""
    unk_dropout: float = 0.01
    """Share of keys and values that training hides, so that the network knows what to do with unknown ones."""
    events: int = 500_000
    """Of the newest normal sessions that are learned from, at most: bounds memory."""
    folds: int = 3
    """Each costs a fit."""
    threads: int = 1
    """CPU threads of PyTorch while it fits."""
    min_sessions: int = 50
    """Normal ones: with fewer, one session moves the held-out false-alarm rate by more than two points."""
    min_anomalous: int = 10
    """Fewer labelled ones are learned by heart."""

    def __post_init__(self) -> None:
        for name in (
            "value_sessions", "embedding", "hidden", "layers", "epochs", "steps", "batch", "events", "threads",
            "min_anomalous",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise ConfigError(f"keyvalue.{name} is {getattr(self, name)}; it must be at least 1")
        if self.length < 2:
            raise ConfigError(f"keyvalue.length is {self.length}; it must be at least 2, an event and one before it")
        if self.fields is not None and (not self.fields or len(set(self.fields)) != len(self.fields)):
            raise ConfigError("keyvalue.fields must name at least one field, each once, or be absent to have it chosen")
        if not 1 <= self.max_values <= LARGEST_CODE:
            raise ConfigError(f"keyvalue.max_values is {self.max_values}; it must lie in 1..{LARGEST_CODE}")
        for name in ("pos_weight", "learning_rate"):
            if not getattr(self, name) > 0.0:
                raise ConfigError(f"keyvalue.{name} is {getattr(self, name)}; it must be above 0")
        if not self.weight_power >= 0.0:
            raise ConfigError(f"keyvalue.weight_power is {self.weight_power}; it must not be below 0")
        if not 0.0 <= self.unk_dropout < 1.0:
            raise ConfigError(f"keyvalue.unk_dropout is {self.unk_dropout}; it must lie in 0..1, 1 excluded")
        if self.folds < 2:
            raise ConfigError(f"keyvalue.folds is {self.folds}; it must be at least 2")
        if self.min_sessions < 2 * self.folds:
            raise ConfigError(f"keyvalue.min_sessions is {self.min_sessions}; it must be at least twice the folds")

    def to_dict(self) -> dict[str, Any]:
        named = None if self.fields is None else list(self.fields)
        return {**asdict(self), "fields": named, "excluded": list(self.excluded)}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read back ``to_dict`` or a configuration. Raises ConfigError for a setting that does not exist."""
        names = [field.name for field in fields(cls)]
        unknown = sorted(set(state) - set(names))
        if unknown:
            raise ConfigError(f"keyvalue has no setting {unknown[0]!r}; its settings: {', '.join(names)}")
        values = dict(state)
        for name in ("fields", "excluded"):
            if values.get(name) is not None:
                values[name] = tuple(values[name])
        return cls(**values)
