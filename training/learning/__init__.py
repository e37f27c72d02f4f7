"""Learning from what people said: fine-tunes the detectors that were wrong into a candidate version."""
