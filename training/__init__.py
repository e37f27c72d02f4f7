"""Offline work: data sets, fitting, calibration, export, evaluation. Builds on ``models`` alone."""
