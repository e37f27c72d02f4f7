"""Fits DeepLog's log-key model on normal sessions and exports it."""

from training.deeplog.fitted import FittedDeepLog, fit_deeplog
from training.deeplog.settings import DeepLogSettings

__all__ = ["DeepLogSettings", "FittedDeepLog", "fit_deeplog"]
