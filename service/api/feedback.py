"""``POST``, ``GET`` and ``DELETE /feedback``: what people say of incidents."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.api.dependencies import CoreDependency

router = APIRouter(tags=["feedback"])

Author = Annotated[str, Header(alias="X-Tocsin-Author", max_length=100)]
Scope = Literal["window", "template", "parameter", "text", "session", "timeframe"]


class Feedback(BaseModel):
    """An answer to an incident, or an anomaly that was missed."""

    model_config = ConfigDict(extra="forbid")

    label: Literal["false_positive", "true_positive", "missed"]
    incident: Annotated[str | None, Field(max_length=64)] = None
    scope: Scope | None = None
    source: Annotated[str | None, Field(max_length=64)] = None
    session: Annotated[str | None, Field(max_length=512)] = None
    at: datetime | None = None
    note: Annotated[str | None, Field(max_length=2000)] = None

    @model_validator(mode="after")
    def _complete(self) -> "Feedback":
        if self.label == "missed":
            if self.source is None or self.session is None or self.at is None:
                raise ValueError("missed needs source, session and at (when it happened)")
            if self.incident is not None or self.scope is not None:
                raise ValueError("missed is about a session, not about an incident")
        elif self.incident is None:
            raise ValueError(f"{self.label} needs the incident that it answers")
        return self


@router.post("/feedback", status_code=201)
async def give(feedback: Feedback, core: CoreDependency, author: Author = "anonymous") -> dict[str, Any]:
    """Store an answer. It is shown with the incident; verdicts do not change by it yet."""
    if feedback.label == "missed":
        assert feedback.source is not None
        assert feedback.session is not None
        assert feedback.at is not None
        at = feedback.at if feedback.at.tzinfo else feedback.at.replace(tzinfo=UTC)
        return await core.desk.missed(feedback.source, feedback.session, at.timestamp(), feedback.note, author)
    assert feedback.incident is not None
    return await core.desk.answer(feedback.incident, feedback.label, feedback.scope, feedback.note, author)


@router.get("/feedback")
async def list_feedback(
    core: CoreDependency,
    source: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Feedback, newest first."""
    return await core.desk.feedback(source, limit)


@router.delete("/feedback/{feedback_id}")
async def undo(
    core: CoreDependency, feedback_id: Annotated[str, Path(max_length=64)], author: Author = "anonymous"
) -> dict[str, Any]:
    """Take feedback back."""
    return await core.desk.undo(feedback_id, author)
