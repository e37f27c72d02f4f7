"""Rates: how many lines of a source, and of each of its templates, come in a fixed time, against a daily rhythm."""
