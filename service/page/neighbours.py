"""An incident's neighbours in words: the nearest normal session with the difference, and similar incidents.

Owns the wording, and which of the steps that both sessions have are folded away. Does not know how neighbours are found
(``service.incidents``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from service.page.rendering import number

FOLDED = 5
"""So many steps in a row that differ in nothing are shown as their first and last one."""
SHOWN = 200
"""Rows at most."""
_MARKS = {
    "same": ("", ""),
    "missing": ("−", "missing"),
    "extra": ("+", "extra"),
    "earlier": ("↑", "before its turn"),
    "later": ("↓", "after its turn"),
}
LABELS = {"false_positive": "False alarm", "true_positive": "True"}


@dataclass(frozen=True, slots=True)
class Row:
    """One step: its ``kind``, a mark and a word for those who do not see colours, and the template (None: ``folded``
    steps that both have)."""

    kind: str
    mark: str
    word: str
    template: str | None
    folded: str = ""


@dataclass(frozen=True, slots=True)
class Beside:
    """``said``: what differs, a sentence; ``notes``: what was compared; ``rows`` the steps, and how many are ``left``
    out."""

    said: str
    notes: list[str]
    rows: list[Row]
    left: int


def beside(nearest: Mapping[str, Any] | None) -> Beside | None:
    """The nearest normal session as ``GET /incidents/{incident}`` tells it; None where there is none."""
    if nearest is None:
        return None
    rows = []
    for same, group in groupby(nearest["steps"], key=lambda step: step["step"] == "same"):
        steps = [Row(step["step"], *_MARKS[step["step"]], step["template"]) for step in group]
        if same and len(steps) >= FOLDED:
            folded = Row("folded", "", "", None, f"{number(len(steps) - 2)} steps that both have")
            steps = [steps[0], folded, steps[-1]]
        rows += steps
    return Beside(_difference(nearest), _compared(nearest), rows[:SHOWN], max(0, len(rows) - SHOWN))


def _difference(nearest: Mapping[str, Any]) -> str:
    counted = (("missing", "missing"), ("extra", "extra"), ("out_of_turn", "out of turn"))
    parts = [f"{number(nearest[name])} {word}" for name, word in counted if nearest[name]]
    if not parts:
        return "Step by step it went as a normal session does."
    return f"Steps that differ: {', '.join(parts)}; {number(nearest['same'])} are the same."


def _compared(nearest: Mapping[str, Any]) -> list[str]:
    notes = [f"{_sessions(nearest['sessions'])} of training went as the normal one does."]
    if not nearest["begun"]:
        notes.append("What came before the events above was not kept, and is not compared.")
    if nearest["after"]:
        notes.append(
            f"The normal session goes on for {_steps(nearest['after'])}, which are not missing: "
            + ("how it ends was not kept." if nearest["ended"] else "this one was not over.")
        )
    return notes


def _sessions(count: int) -> str:
    return "1 session" if count == 1 else f"{number(count)} sessions"


def _steps(count: int) -> str:
    return "1 more step" if count == 1 else f"{number(count)} more steps"
