"""Fits LogLSTM on normal sessions and windows spoilt on purpose, and exports it."""

from training.loglstm.fit import fit_loglstm
from training.loglstm.settings import LogLSTMSettings

__all__ = ["LogLSTMSettings", "fit_loglstm"]
