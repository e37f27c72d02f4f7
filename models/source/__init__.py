"""A source: one kind of log, its format, how its lines form sessions, and its masks."""

from models.source.config import DrainSettings, Header, Mask, SessionRule, Source, Timestamp, presets

__all__ = ["DrainSettings", "Header", "Mask", "SessionRule", "Source", "Timestamp", "presets"]
