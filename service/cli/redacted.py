"""Logs and labels as a source's ``redact`` leaves them: what is trained on is what will be served.

Owns where the key comes from: the setting that the service has.
"""

from models.source.config import Source
from models.source.redaction import Redactor
from service.settings import load_settings
from training.logs import Labels


def redacted(source: Source, lines: list[str]) -> list[str]:
    """Lines without what the source redacts. Raises ConfigError where that needs a key that is not there."""
    return lines if not source.redact else _redactor(source).lines(lines)


def redacted_labels(source: Source, labels: Labels | None) -> Labels | None:
    """Labels by the sessions' names as they are then."""
    if labels is None or not source.redact:
        return labels
    names = list(labels.anomalous)
    now = dict(zip(names, _redactor(source).ids(names), strict=True))
    return Labels(
        {now[name] or "": bad for name, bad in labels.anomalous.items()},
        {now.get(name) or name: kind for name, kind in labels.kind.items()},
    )


def _redactor(source: Source) -> Redactor:
    return Redactor(source, load_settings().redaction)
