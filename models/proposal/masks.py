"""Masks that catch something, with how often and two examples.

Owns the masks that are tried, and their order: a part of an address is no number. Does not know how they are applied
(``models.source.masking``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from models.source import regex
from models.source.config import Mask

EXAMPLES = 2
_HEX_ID = r"[0-9]+[a-f][0-9a-f]{6,}|[a-f]+[0-9][0-9a-f]{6,}|[0-9]+[A-F][0-9A-F]{6,}|[A-F]+[0-9][0-9A-F]{6,}"

CANDIDATES = (
    Mask("UUID", r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"),
    Mask("EMAIL", r"\b[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b"),
    Mask("URL", r"\b[a-z]{2,10}://[!-~]+"),
    Mask("MAC", r"\b[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5,7}\b"),
    Mask(
        "TIME",
        r"\b(?:[0-9]{4}-[0-9]{2}-[0-9]{2}[T ])?[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?"
        r"(?:Z|[+-][0-9]{2}:?[0-9]{2})?\b",
    ),
    Mask("IP", r"/?\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?::[0-9]+)?\b"),
    Mask(
        "IPV6", r"\b(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}\b|\b(?:[0-9a-fA-F]{1,4}:){1,6}(?::[0-9a-fA-F]{1,4}){1,6}\b"
    ),
    Mask("ID", r"\b[A-Za-z]{2,20}_-?[0-9]{2,}(?:_[A-Za-z0-9]+)*\b"),
    Mask("PATH", r"\B/[A-Za-z_][A-Za-z0-9_.<>/+-]*"),
    Mask("HEX", rf"\b(?:0[xX][0-9a-fA-F]+|{_HEX_ID})\b"),
    Mask("NUM", r"(?:\B-)?\b[0-9]+(?:\.[0-9]+)*(?:ns|us|ms|s|[kKMGTP]?i?B)?\b"),
)


@dataclass(frozen=True, slots=True)
class Caught:
    """What a mask catches in the messages: ``count`` matches, and the first different ones."""

    mask: Mask
    count: int
    examples: tuple[str, ...]


def caught(masks: Sequence[Mask], messages: pl.Series) -> list[Caught]:
    """What each mask catches of what those before it left, in order."""
    found = []
    for mask in masks:
        matches = messages.str.extract_all(mask.pattern).explode(empty_as_null=True).drop_nulls()
        examples = matches.unique(maintain_order=True)[:EXAMPLES].to_list()
        found.append(Caught(mask, len(matches), tuple(examples)))
        if len(matches):
            keeps = "keep" in regex.groups(mask.pattern)
            messages = messages.str.replace_all(mask.pattern, f"${{keep}}<{mask.name}>" if keeps else f"<{mask.name}>")
    return found


def proposed(messages: pl.Series, first: Sequence[Mask] = ()) -> list[Mask]:
    """The masks that catch something, ``first`` before all others."""
    return [one.mask for one in caught([*first, *CANDIDATES], messages) if one.count]
