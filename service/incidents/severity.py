"""How urgent an incident is, told by its calibrated score and by how many detectors stand behind it.

Owns the three levels and their thresholds. Does not know labels, nor who is told. The score is the share of held-out
normals with less evidence; it comes to 1.0 as soon as none of them had more, which takes little where few were held
out. So the highest level asks for a second detector that says so by itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""The lowest first."""

WARNING_SCORE = 0.999
"""From here on one normal in a thousand, at most, has as much evidence: a tenth of the usual alert budget (0.01)."""
CRITICAL_SCORE = 0.9999
"""One in ten thousand; of fewer held-out normals, none."""
OWN_SHARE = 0.1
"""Of the evidence: a detector that adds less has no say of its own."""
AGREEING = 2
"""Detectors that stand behind a critical incident."""


def severity(score: float, reasons: Sequence[Mapping[str, Any]]) -> Severity:
    """Severity of an incident with the largest ``score`` of its verdicts (0 to 1) and the ``reasons`` of its first.

    ``critical``: score at least 0.9999, and two detectors or more with a tenth of the evidence each, of which each puts
    it among the strangest thousandth by itself. ``warning``: score at least 0.999. ``info``: all else that rings.
    """
    if score < WARNING_SCORE:
        return "info"
    behind = sum(
        reason.get("share", 0.0) >= OWN_SHARE and reason.get("score", 0.0) >= WARNING_SCORE for reason in reasons
    )
    return "critical" if score >= CRITICAL_SCORE and behind >= AGREEING else "warning"


def at_least(found: Severity, lowest: Severity) -> bool:
    """Whether a severity is ``lowest`` or above it."""
    return SEVERITIES.index(found) >= SEVERITIES.index(lowest)
