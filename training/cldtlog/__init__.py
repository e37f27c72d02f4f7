"""Fits CLDTLog on labelled sessions or lines and exports it."""

from training.cldtlog.fitted import fit_cldtlog, fit_lines
from training.cldtlog.settings import CLDTLogSettings

__all__ = ["CLDTLogSettings", "fit_cldtlog", "fit_lines"]
