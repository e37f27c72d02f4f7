"""Detectors without a network: simple, fast, and on these logs hard to beat (Landauer et al., FSE 2024)."""
