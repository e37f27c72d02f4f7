"""The learner: the one process that teaches detectors what people said, and the only one that needs torch."""
