"""Where a session left its workflow, in words.

Owns the wording of a diagnosis (``models.workflow.diagnosis``). Does not know how the workflow is drawn.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.page.rendering import number

_SAID = {
    "none": "The workflow has nothing against it: this step may follow here.",
    "slow": "The step may follow here, but after a longer pause than training ever saw.",
    "missing": "Steps before it were left out.",
    "order": "It comes too late: a step that was left out earlier.",
    "repeated": "A step that was done already.",
    "elsewhere": "A step that does not belong here: of another kind of session, or of an earlier part of this one.",
    "unknown": "No step of any normal session.",
    "ended_early": "The session ended before its course was over.",
    "unplaced": "Nothing before it says where in a normal session this is.",
}


@dataclass(frozen=True, slots=True)
class Course:
    """``said``: the departure; ``notes``: what else is known of it; ``missing``: steps that were left out."""

    said: str
    notes: list[str]
    missing: list[str]


def course(diagnosis: Mapping[str, Any] | None) -> Course | None:
    """A diagnosis as an incident keeps it; None where the source has no workflow."""
    if diagnosis is None:
        return None
    notes = []
    if diagnosis["sessions"] is not None:
        notes.append(f"This kind of session was seen {number(diagnosis['sessions'])} times in training.")
    if diagnosis["unmatched"] and diagnosis["last"] is not None:
        notes.append(
            f"Events since the last step that fits, which are no steps here: {number(diagnosis['unmatched'])}."
        )
    if diagnosis["elapsed_s"] is not None and diagnosis["slowest_s"] is not None:
        elapsed, slowest = number(float(diagnosis["elapsed_s"])), number(float(diagnosis["slowest_s"]))
        notes.append(f"It came {elapsed} s after the step before; the longest pause in training was {slowest} s.")
    notes += [f"Every such session has “{part['template']}”, and this one has not." for part in diagnosis["absent"]]
    missing = [
        part["template"] + ("" if part["every_way"] else " (on the shortest way; there are others)")
        for part in diagnosis["missing"]
    ]
    return Course(_SAID.get(diagnosis["departure"], str(diagnosis["departure"])), notes, missing)
