"""What an answer to an incident would do, said before it is given, and what was answered already.

Owns the wording of choices. The answers themselves are taken by the feedback desk.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.errors import TocsinError
from service.core import Core
from service.incidents import causes
from service.incidents.causes import Cause
from service.state import incidents

ANSWERS_READ = 1000


@dataclass(frozen=True, slots=True)
class Choice:
    """What calling an incident a false alarm silences under one scope (None: the narrowest of each detector), a
    sentence for each, and which of its detectors ring on."""

    scope: str | None
    silences: list[str]
    still_ring: list[str]


@dataclass(frozen=True, slots=True)
class Choices:
    """``found``: the default first; none where the incident cannot be silenced, and ``why`` not."""

    found: list[Choice]
    why: str | None = None


async def choices(core: Core, incident: Mapping[str, Any]) -> Choices:
    """What can be silenced of an incident as ``GET /incidents/{incident}`` tells it. Raises StateError."""
    try:
        live = await core.sources.get(incident["source"])
    except TocsinError as error:
        return Choices([], str(error))
    if incident["tree"] != live.tree.tree_id:
        return Choices([], "It was raised under another template tree, so nothing that rings now is like it.")
    kept = [Cause.decode(line) for line in await incidents.clauses(core.redis, live.name, incident["id"])]
    if not kept:
        return Choices([], "It says only that events before it were strange together; answer those of its session.")
    took_part = {reason["detector"] for reason in incident["reasons"]} | {cause.alarm.detector for cause in kept}
    found = []
    for scope in (None, *causes.scopes(kept)):
        clauses = causes.to_silence(kept, scope)
        quiet = {clause.detector for clause in clauses}
        found.append(Choice(scope, causes.in_words(clauses, live.text_of), sorted(took_part - quiet)))
    return Choices(found)


async def given(core: Core, incident: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Answers to an incident, newest first."""
    listed = (await core.desk.feedback.newest(incident["source"], ANSWERS_READ))["feedback"]
    return [item for item in listed if item.get("incident") == incident["id"]]
