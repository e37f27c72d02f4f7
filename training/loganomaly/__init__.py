"""Fits LogAnomaly on normal sessions and exports it."""

from training.loganomaly.fit import fit_loganomaly
from training.loganomaly.settings import LogAnomalySettings

__all__ = ["LogAnomalySettings", "fit_loganomaly"]
