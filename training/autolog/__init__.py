"""Fits AutoLog on the normal timeframes of a log and exports it."""

from training.autolog.fitted import FittedTimeframe, fit_autolog, fit_records
from training.autolog.settings import AutoLogSettings

__all__ = ["AutoLogSettings", "FittedTimeframe", "fit_autolog", "fit_records"]
