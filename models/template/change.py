"""What a template tree is made of and how it changes: plain values that travel through Redis and bundles.

Does not know how templates are mined.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.errors import TemplateError
from models.template.tokens import WILDCARD

Int64 = NDArray[np.int64]

OVERFLOW = 0
"""Id of the template that takes the messages for which no new id may be made."""

NO_TEMPLATE = -1
"""What ``match`` gives where nothing matches."""


@dataclass(frozen=True, slots=True)
class Template:
    """One template. ``origin`` are the tokens it was made from, ``exemplar`` the same as text; it may be wider now."""

    id: int
    tokens: tuple[str, ...]
    origin: tuple[str, ...]

    @property
    def text(self) -> str:
        """As people read it: ``Receiving block <BLK> src: <IP> dest: <IP>``."""
        return " ".join(self.tokens)

    @property
    def exemplar(self) -> str:
        """The masked message that it was made from (white space collapsed, cut where it was too long to be mined)."""
        return " ".join(self.origin)


OVERFLOW_TEMPLATE = Template(OVERFLOW, ("<overflow>",), ("<overflow>",))


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a tree from ``version - 1`` to ``version``: a template that is new, or wider than it was."""

    version: int
    kind: Literal["new", "widened"]
    id: int
    tokens: list[str]
    origin: list[str]
    exemplar: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "version": self.version,
            "kind": self.kind,
            "id": self.id,
            "tokens": self.tokens,
            "origin": self.origin,
            "exemplar": self.exemplar,
        }

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> "Change":
        """The inverse of ``to_dict``; TemplateError where it is not a change."""
        try:
            version, kind, template_id = mapping["version"], mapping["kind"], mapping["id"]
            tokens, origin, exemplar = mapping["tokens"], mapping["origin"], mapping["exemplar"]
        except KeyError as error:
            raise TemplateError(f"a template change lacks {error}: it was not written by Tocsin") from None
        if kind not in ("new", "widened") or not isinstance(version, int) or not isinstance(template_id, int):
            raise TemplateError(f"not a template change: version {version!r}, kind {kind!r}, id {template_id!r}")
        check_tokens(template_id, tokens, origin)
        return cls(version, kind, template_id, list(tokens), list(origin), str(exemplar))


@dataclass(frozen=True, slots=True)
class Assignment:
    """Template ids of n messages, int64 [n]; the changes that it took, in order; how many lines are ``OVERFLOW``."""

    ids: Int64
    changes: list[Change]
    overflowed: int


def check_tokens(template_id: int, tokens: object, origin: object) -> None:
    """Refuse with TemplateError what cannot be a template: not strings, or not a widening of its own origin."""
    for part in (tokens, origin):
        if not isinstance(part, (list, tuple)) or not all(isinstance(token, str) for token in part):
            raise TemplateError(f"template {template_id}: tokens and origin must be lists of strings")
    assert isinstance(tokens, (list, tuple))
    assert isinstance(origin, (list, tuple))
    if len(tokens) != len(origin) or any(
        token not in (source, WILDCARD) for token, source in zip(tokens, origin, strict=True)
    ):
        raise TemplateError(f"template {template_id}: its tokens are no widening of its origin")
    if WILDCARD in origin:
        raise TemplateError(f"template {template_id}: its origin holds {WILDCARD}, which no message is read as")
