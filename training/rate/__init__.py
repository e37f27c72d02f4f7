"""Learning the rates of a source and of its templates."""

from training.rate.fit import FittedRate, fit_counts, fit_rate
from training.rate.settings import RateSettings

__all__ = ["FittedRate", "RateSettings", "fit_counts", "fit_rate"]
