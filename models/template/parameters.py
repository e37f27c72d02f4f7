"""What stands where a template has a mask or a wildcard, in one raw message, on demand.

Owns the alignment of a template with a message. Does not know how masks found what they replaced: a value is whatever
lies between the template's constant parts.

Constant parts are searched for from left to right, which finds an alignment where there is one, in linear time. A
regular expression with a group for each placeholder would give the same values, but in Rust's engine (through polars)
one of 1,000 wildcards took 10 s for a message of 1,000 tokens.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from models.template.tokens import CUT, ESCAPED_WILDCARD, WILDCARD

_PLACEHOLDER = re.compile(r"<(\*|[A-Za-z_][A-Za-z0-9_]*)>")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value. ``position`` counts the placeholders of the template from 0.

    ``mask`` is the mask's name, ``*`` for a wildcard, ``...`` for the rest of a message that was too long to be mined.
    ``token`` is the index of the template's token that it stands in: unlike ``position`` it stays when the template is
    widened.
    """

    position: int
    mask: str
    value: str
    token: int


def extract(template_tokens: Sequence[str], message: str) -> list[Parameter]:
    """The parameters of a raw message (before masks) by its template, left to right.

    Values are as short as the constants between them allow, and never empty; white space within them is collapsed to
    one space. Empty where the template has no placeholders and where it does not align with the message.
    """
    constants, places = _pieces(tuple(template_tokens))
    if not places:
        return []
    text = " ".join(ESCAPED_WILDCARD if token == WILDCARD else token for token in message.split())
    if not text.startswith(constants[0]) or not text.endswith(constants[-1]):
        return []
    at, end = len(constants[0]), len(text) - len(constants[-1])
    values = []
    for constant in constants[1:-1]:
        found = text.find(constant, at + 1, end)
        if found < 0:
            return []
        values.append(text[at:found])
        at = found + len(constant)
    if at >= end:
        return []
    values.append(text[at:end])
    return [
        Parameter(position, mask, value, token)
        for position, ((token, mask), value) in enumerate(zip(places, values, strict=True))
    ]


@lru_cache(maxsize=4096)
def _pieces(tokens: tuple[str, ...]) -> tuple[list[str], list[tuple[int, str]]]:
    """The k + 1 constant parts around the k placeholders of a template, and (token index, mask) of each of these."""
    constants = [""]
    places = []
    for index, token in enumerate(tokens):
        if index:
            constants[-1] += " "
        if token == CUT:
            places.append((index, "..."))
            constants.append("")
        elif token == ESCAPED_WILDCARD:
            constants[-1] += token
        else:
            end = 0
            for placeholder in _PLACEHOLDER.finditer(token):
                places.append((index, placeholder[1]))
                constants[-1] += token[end : placeholder.start()]
                constants.append("")
                end = placeholder.end()
            constants[-1] += token[end:]
    return constants, places
