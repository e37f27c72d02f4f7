"""How each detector is fitted: one line a detector, beside its line in ``models.registry``.

Owns the table, and the settings that may be given by name. Does not know how a detector learns.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, Self

from models.errors import ConfigError
from training.cldtlog import CLDTLogSettings, fit_cldtlog
from training.deeplog import DeepLogSettings
from training.deeplog.member import fit_deeplog_member
from training.deeplog_values import DeepLogValuesSettings, fit_deeplog_values
from training.keyvalue import KeyValueSettings, fit_keyvalue
from training.loganomaly import LogAnomalySettings
from training.loganomaly.member import fit_loganomaly_member
from training.logbert import LogBERTSettings, fit_logbert
from training.loglstm import LogLSTMSettings, fit_loglstm
from training.member import Corpus, FittedMember
from training.progress import Progress, silent
from training.simple import SIMPLE, fit_simple
from training.timing import fit_timing


class MemberSettings(Protocol):
    """What can be set of one detector."""

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """From names and values. Raises ConfigError for a setting that does not exist or a value that cannot work."""


@dataclass(frozen=True, slots=True)
class Fitter:
    """How the detectors ``names`` are fitted together. ``settings`` is None where there is nothing to set."""

    names: tuple[str, ...]
    settings: type[MemberSettings] | None
    fit: Callable[[Corpus, Any, int, Progress], Sequence[FittedMember]]


def _simple(name: str, corpus: Corpus, _settings: None, seed: int, progress: Progress) -> list[FittedMember]:
    return [fit_simple(name, corpus, seed, progress)]


FITTERS = (
    *(Fitter((name,), None, partial(_simple, name)) for name in SIMPLE),
    Fitter(("timing",), None, lambda corpus, _, seed, progress: [fit_timing(corpus, seed, progress)]),
    Fitter(("deeplog",), DeepLogSettings, lambda *given: [fit_deeplog_member(*given)]),
    Fitter(("deeplog_values",), DeepLogValuesSettings, lambda *given: [fit_deeplog_values(*given)]),
    Fitter(("loganomaly",), LogAnomalySettings, lambda *given: [fit_loganomaly_member(*given)]),
    Fitter(("loglstm",), LogLSTMSettings, lambda *given: [fit_loglstm(*given)]),
    Fitter(("keyvalue",), KeyValueSettings, lambda *given: [fit_keyvalue(*given)]),
    Fitter(("cldtlog",), CLDTLogSettings, lambda *given: [fit_cldtlog(*given)]),
    Fitter(("logbert", "logbert_distance"), LogBERTSettings, fit_logbert),
)
"""Every way to fit."""


def fit_members(
    names: Sequence[str],
    corpus: Corpus,
    members: Mapping[str, Mapping[str, Any]],
    seed: int,
    progress: Progress = silent,
) -> list[FittedMember]:
    """The detectors called ``names``, in that order, fitted with the settings given for them. Raises DataError naming
    the detector that has too little to learn from."""
    found: dict[str, FittedMember] = {}
    for fitter in FITTERS:
        if set(fitter.names) & set(names):
            own = settings_of(fitter.names[0], members.get(fitter.names[0], {}))
            found |= {member.name: member for member in fitter.fit(corpus, own, seed, progress)}
    return [found[name] for name in names]


def settings_of(name: str, given: Mapping[str, Any]) -> MemberSettings | None:
    """Settings of one detector. Raises ConfigError where it has none of that name."""
    fitter = next((fitter for fitter in FITTERS if fitter.names[0] == name), None)
    if fitter is None or fitter.settings is None:
        if given:
            those = ", ".join(fitter.names[0] for fitter in FITTERS if fitter.settings is not None)
            raise ConfigError(f"{name} has nothing to set; detectors with settings: {those}")
        return None
    return fitter.settings.from_dict(given)
