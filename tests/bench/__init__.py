"""Benchmarks: ``make bench``. Nothing here asserts a speed; every figure is a ratio within one run."""
