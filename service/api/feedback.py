"""``POST``, ``GET`` and ``DELETE /feedback``: what people say of incidents."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from models.rules import Scope
from service.api.asking import NOBODY, Asker, Author, prose
from service.api.declared import refusals
from service.api.dependencies import CoreDependency
from service.api.guarded import Answered, CallerDependency
from service.incidents.feedback import Said

router = APIRouter(tags=["feedback"], route_class=Answered)

LONGEST_RULE_S = 366 * 86_400.0


class Feedback(BaseModel):
    """An answer to an incident, or an anomaly that was missed. ``scope`` and ``expires_in_s`` are a false alarm's; who
    an API key or the header ``X-Tocsin-Author`` names goes before ``author``."""

    model_config = ConfigDict(extra="forbid")

    label: Literal["false_positive", "true_positive", "missed"]
    incident: Annotated[str | None, Field(max_length=64)] = None
    scope: Scope | None = None
    expires_in_s: Annotated[float | None, Field(gt=0, le=LONGEST_RULE_S, allow_inf_nan=False)] = None
    source: Annotated[str | None, Field(max_length=64)] = None
    session: Annotated[str | None, Field(max_length=512)] = None
    at: datetime | None = None
    note: Annotated[str | None, Field(max_length=2000), AfterValidator(prose)] = None
    author: Author | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Feedback":
        if self.label != "false_positive" and (self.scope is not None or self.expires_in_s is not None):
            raise ValueError("scope and expires_in_s say what a false_positive silences")
        if self.label == "missed":
            if self.source is None or self.session is None or self.at is None:
                raise ValueError("missed needs source, session and at (when it happened)")
            if self.incident is not None:
                raise ValueError("missed is about a session, not about an incident")
        elif self.incident is None:
            raise ValueError(f"{self.label} needs the incident that it answers")
        return self


@router.post("/feedback", status_code=201, responses=refusals(404, 409, 410, 429))
async def give(given: Feedback, core: CoreDependency, caller: CallerDependency, asker: Asker) -> dict[str, Any]:
    """Answer: a false alarm is silent from the next line on, in every replica; what is called real, or was missed, no
    later answer may silence."""
    said = Said(
        author=asker or given.author or NOBODY, note=given.note, scope=given.scope, expires_in_s=given.expires_in_s
    )
    desk = core.desk.feedback
    if given.label == "missed":
        assert given.source is not None
        assert given.session is not None
        assert given.at is not None
        core.gate.check_source(caller, given.source)
        at = given.at if given.at.tzinfo else given.at.replace(tzinfo=UTC)
        return await desk.missed(given.source, given.session, at.timestamp(), said)
    assert given.incident is not None
    if caller.limited:
        await core.desk.get(given.incident, caller.view)
    answer = desk.false_alarm if given.label == "false_positive" else desk.real
    return await answer(given.incident, said)


@router.get("/feedback")
async def list_feedback(
    core: CoreDependency,
    caller: CallerDependency,
    source: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Feedback, newest first; with each rule how many verdicts it silenced, and whether it is in force."""
    return await core.desk.feedback.newest(source, limit, caller.view)


@router.get("/feedback/audit")
async def list_audit(
    core: CoreDependency, caller: CallerDependency, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> dict[str, Any]:
    """What was given, refused and undone, by whom, newest first."""
    return await core.desk.feedback.audit(limit, caller.view)


@router.delete("/feedback/{feedback_id}", responses=refusals(404, 409, 429))
async def undo(
    core: CoreDependency, caller: CallerDependency, by: Asker, feedback_id: Annotated[str, Path(max_length=64)]
) -> dict[str, Any]:
    """Take feedback back: what it silenced rings again from the next line on."""
    return await core.desk.feedback.undoing.undo(feedback_id, by or NOBODY, caller.view)


@router.delete("/feedback", responses=refusals(404, 409, 429))
async def undo_author(
    core: CoreDependency, caller: CallerDependency, by: Asker, author: Annotated[str, Query(max_length=100)]
) -> dict[str, Any]:
    """Take back all that one author gave."""
    return await core.desk.feedback.undoing.undo_author(author.strip(), by or NOBODY, caller.view)
