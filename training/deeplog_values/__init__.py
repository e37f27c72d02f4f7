"""Fits DeepLog's parameter-value model on normal sessions and exports it."""

from training.deeplog_values.fitted import fit_deeplog_values
from training.deeplog_values.settings import DeepLogValuesSettings

__all__ = ["DeepLogValuesSettings", "fit_deeplog_values"]
