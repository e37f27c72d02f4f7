"""Severity follows the calibrated score, and the highest asks for a second detector."""

from typing import Any

import pytest

from service.incidents.severity import SEVERITIES, Severity, at_least, severity


def reason(score: float, share: float) -> dict[str, Any]:
    return {"detector": "any", "raw": 1.0, "score": score, "share": share}


ALONE = [reason(1.0, 1.0)]
TOGETHER = [reason(1.0, 0.6), reason(0.9995, 0.4)]


@pytest.mark.parametrize(
    ("score", "reasons", "expected"),
    [
        (0.99, TOGETHER, "info"),
        (0.9989, TOGETHER, "info"),
        (0.999, TOGETHER, "warning"),
        (0.99989, TOGETHER, "warning"),
        (0.9999, TOGETHER, "critical"),
        (1.0, TOGETHER, "critical"),
        (1.0, ALONE, "warning"),
        (1.0, [reason(1.0, 0.95), reason(1.0, 0.05)], "warning"),
        (1.0, [reason(1.0, 0.5), reason(0.99, 0.5)], "warning"),
        (1.0, [], "warning"),
    ],
)
def test_severity_of_score_and_reasons(score: float, reasons: list[dict[str, Any]], expected: Severity) -> None:
    assert severity(score, reasons) == expected


def test_severity_never_falls_as_the_score_rises() -> None:
    ranks = [SEVERITIES.index(severity(1 - 10 ** -(step / 10), TOGETHER)) for step in range(100)]
    assert ranks == sorted(ranks)
    assert set(ranks) == {0, 1, 2}


def test_a_level_reaches_itself_and_those_below() -> None:
    assert [at_least(found, "warning") for found in SEVERITIES] == [False, True, True]
