"""The tokens of a masked message, and what it means for a template to match them.

Owns the one place where a message becomes tokens, so that mining, matching and the dictionary of seen messages agree.
Does not know templates' ids nor the tree.
"""

from collections.abc import Sequence

WILDCARD = "<*>"
"""Stands in a template for any one token."""

ESCAPED_WILDCARD = "\\<*>"
"""What a message's own ``<*>`` is read as: taken as it is, a line of ``<*>`` would make a template that swallows
every message of its length, and no new event would be seen again."""

CUT = "<...>"
"""The last token of a message that was too long."""

MAX_CHARACTERS = 4096
"""Only so much of a message is mined. 20,000 templates of one 64 KiB line each would not fit beside Redis."""


def tokenize(message: str) -> list[str]:
    """Split at white space, as Drain does.

    A message of more than ``MAX_CHARACTERS`` is read as its first tokens and ``CUT``. No token of the result is
    ``WILDCARD``. ``tokenize(" ".join(tokenize(m))) == tokenize(m)``.
    """
    tokens = message.split()
    if WILDCARD in tokens:
        tokens = [ESCAPED_WILDCARD if token == WILDCARD else token for token in tokens]
    elif len(message) <= MAX_CHARACTERS:
        return tokens
    if sum(map(len, tokens)) + len(tokens) - 1 <= MAX_CHARACTERS:
        return tokens
    room = MAX_CHARACTERS - len(CUT)
    kept = 0
    while room > len(tokens[kept]):
        room -= len(tokens[kept]) + 1
        kept += 1
    return [*tokens[:kept], CUT]


def fits(template: Sequence[str], tokens: Sequence[str]) -> bool:
    """Whether a template matches the tokens, of which there are as many: equal wherever it has no wildcard."""
    # A loop, as all() of a generator takes twice as long.
    for expected, token in zip(template, tokens, strict=True):
        if expected != token and expected != WILDCARD:
            return False
    return True
