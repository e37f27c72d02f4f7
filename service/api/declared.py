"""What ``/openapi.json`` says of bodies that routes read by themselves, and of answers that are errors.

Owns the document's wording and nothing of what is done. ``tests/service/api/test_contract.py`` holds it to be true.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

Content = Mapping[str, dict[str, Any]]
Responses = dict[int | str, dict[str, Any]]

REASONS = {
    400: "The request cannot be read",
    401: "An API key is needed, and none came that lets in",
    403: "The API key is not for that, or a browser sends it for a page of another site",
    404: "There is none of that name",
    406: "The body's media type is not known",
    408: "The body did not come in time",
    409: "It contradicts what is there",
    410: "What it is about is not kept any more",
    413: "Too much in one request",
    415: "The body's media type or encoding is not known",
    422: "A value cannot be taken",
    429: "Too much at once; Retry-After says when to come again",
    501: "This version cannot do it",
    502: "Whoever was called did not take it",
    503: "Nothing can be promised now; Retry-After says when to come again",
}
TEXT = {"type": "string"}
BINARY = {"type": "string", "format": "binary"}


class Refusal(BaseModel):
    """Why a request was not taken."""

    error: str


def refusals(*statuses: int) -> Responses:
    """Answers ``{"error": ...}`` by status."""
    return {status: {"model": Refusal, "description": REASONS[status]} for status in statuses}


def spoken(content: Content, *statuses: int) -> Responses:
    """Answers in a protocol's own words, by status; ``content``: schemas by media type."""
    bodies = {kind: {"schema": schema} for kind, schema in content.items()}
    return {status: {"description": REASONS.get(status, "Taken"), "content": bodies} for status in statuses}


def body(content: Content) -> dict[str, Any]:
    """``openapi_extra`` of a route that reads its body by itself: schemas by media type."""
    bodies = {kind: {"schema": schema} for kind, schema in content.items()}
    return {"requestBody": {"required": True, "content": bodies}}


def in_query(model: type[BaseModel]) -> list[dict[str, Any]]:
    """``parameters`` of a route that reads its query by itself, as ``model``."""
    found = []
    for name, schema in model.model_json_schema()["properties"].items():
        described = {"description": schema["description"]} if "description" in schema else {}
        found.append({"name": name, "in": "query", "required": False, "schema": schema, **described})
    return found


def in_header(name: str, longest: int) -> dict[str, Any]:
    """One of ``parameters``: a header of at most so many characters, which may be left out."""
    return {"name": name, "in": "header", "required": False, "schema": {"type": "string", "maxLength": longest}}
