"""``POST``, ``GET`` and ``DELETE /feedback``: what people say of incidents."""

import contextlib
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from models.rules import Scope
from service.api.declared import refusals
from service.api.dependencies import CoreDependency
from service.incidents.feedback import Said
from service.incidents.seconds import NOBODY as NOBODY

router = APIRouter(tags=["feedback"])

LONGEST_RULE_S = 366 * 86_400.0


def _plain(text: str) -> str:
    """A name as it can be shown and logged: no control characters, not blank."""
    name = text.strip()
    if not name or any(unicodedata.category(letter).startswith("C") for letter in name):
        raise ValueError("a name holds letters that can be seen")
    return name


def _named(text: str | None) -> str | None:
    """An author's name as a header brings it: servers hand over UTF-8 as if it were Latin-1."""
    if text is None:
        return None
    with contextlib.suppress(UnicodeError):
        text = text.encode("latin-1").decode("utf-8")
    return _plain(text)


def prose(text: str | None) -> str | None:
    """A note as it can be shown and logged: no control characters but line ends and tabs."""
    if text is not None and any(
        unicodedata.category(letter).startswith("C") and letter not in "\n\t" for letter in text
    ):
        raise ValueError("a note holds no control characters")
    return text


Author = Annotated[str, Field(max_length=100), AfterValidator(_plain)]
AuthorHeader = Annotated[str | None, Header(alias="X-Tocsin-Author", max_length=100), AfterValidator(_named)]


class Feedback(BaseModel):
    """An answer to an incident, or an anomaly that was missed. ``scope`` and ``expires_in_s`` are a false alarm's; the
    header ``X-Tocsin-Author`` goes before ``author``, so that a proxy which knows who asks has the last word."""

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
async def give(given: Feedback, core: CoreDependency, author: AuthorHeader = None) -> dict[str, Any]:
    """Answer: a false alarm is silent from the next line on, in every replica; what is called real, or was missed, no
    later answer may silence."""
    said = Said(
        author=author or given.author or NOBODY, note=given.note, scope=given.scope, expires_in_s=given.expires_in_s
    )
    desk = core.desk.feedback
    if given.label == "missed":
        assert given.source is not None
        assert given.session is not None
        assert given.at is not None
        at = given.at if given.at.tzinfo else given.at.replace(tzinfo=UTC)
        return await desk.missed(given.source, given.session, at.timestamp(), said)
    assert given.incident is not None
    answer = desk.false_alarm if given.label == "false_positive" else desk.real
    return await answer(given.incident, said)


@router.get("/feedback")
async def list_feedback(
    core: CoreDependency,
    source: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Feedback, newest first; with each rule how many verdicts it silenced, and whether it is in force."""
    return await core.desk.feedback.newest(source, limit)


@router.get("/feedback/audit")
async def list_audit(core: CoreDependency, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> dict[str, Any]:
    """What was given, refused and undone, by whom, newest first."""
    return await core.desk.feedback.audit(limit)


@router.delete("/feedback/{feedback_id}", responses=refusals(404, 409, 429))
async def undo(
    core: CoreDependency, feedback_id: Annotated[str, Path(max_length=64)], by: AuthorHeader = None
) -> dict[str, Any]:
    """Take feedback back: what it silenced rings again from the next line on."""
    return await core.desk.feedback.undoing.undo(feedback_id, by or NOBODY)


@router.delete("/feedback", responses=refusals(404, 409, 429))
async def undo_author(
    core: CoreDependency, author: Annotated[str, Query(max_length=100)], by: AuthorHeader = None
) -> dict[str, Any]:
    """Take back all that one author gave."""
    return await core.desk.feedback.undoing.undo_author(author.strip(), by or NOBODY)
