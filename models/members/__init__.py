"""Detectors behind one face for the judge, whatever each reads of an event or of a closed session."""
