"""Classical detectors by event counts, as loglizer published them, and RobustLog: for benchmarks, none is served."""

from training.classical.fit import CLASSICAL, Classical, FittedClassical, fit_classical

__all__ = ["CLASSICAL", "Classical", "FittedClassical", "fit_classical"]
