"""Fits LogBERT on normal sessions and exports it."""

from training.logbert.fitted import fit_logbert
from training.logbert.settings import LogBERTSettings

__all__ = ["LogBERTSettings", "fit_logbert"]
