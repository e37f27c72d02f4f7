"""The error tree. Every error that Tocsin raises on purpose is one of these, and its text says what to do.

TocsinError
├── ConfigError        a setting or source configuration is wrong
├── DataError          input to training or evaluation is unusable (too little, wrong labels)
├── BundleError        a bundle is tampered with, incomplete, or of a newer format
├── TemplateError      a template tree cannot take a change (gap in versions, another tree)
└── StateError         Redis is away or holds another schema
"""


class TocsinError(Exception):
    """Base of all errors raised on purpose."""


class ConfigError(TocsinError):
    """A setting or a source configuration is wrong."""


class DataError(TocsinError):
    """Input to training or evaluation is unusable."""


class BundleError(TocsinError):
    """A bundle is tampered with, incomplete, or of a newer format."""


class TemplateError(TocsinError):
    """A template tree cannot take a change."""


class StateError(TocsinError):
    """The state in Redis cannot be reached or has another shape."""
