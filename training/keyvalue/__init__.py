"""Fits the key and value LSTM on labelled sessions and exports it."""

from training.keyvalue.fit import fit_keyvalue
from training.keyvalue.settings import KeyValueSettings

__all__ = ["KeyValueSettings", "fit_keyvalue"]
