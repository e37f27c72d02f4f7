"""Masks as columns: what tells a parameter by its look is replaced by ``<NAME>``.

Owns: the order of masks and the collapse of white space. Training and the service both mask here and nowhere else.
"""

from collections.abc import Sequence

import polars as pl

from models.record import Distinct
from models.source import regex
from models.source.config import Mask

# Only what is not yet a single blank: most messages hold none and are passed over by the engine's fast search.
_WHITE_SPACE = r"\s{2,}|[^\S ]"
_WORTH_A_LOOK = 256
"""Messages from which on it pays to look for repetition after every mask."""


class Masker:
    """Applies masks in order, then makes each run of white space one blank and strips both ends.

    Each mask leaves fewer distinct messages; once they are less than half, the other masks work on distinct ones only.
    """

    def __init__(self, masks: Sequence[Mask]) -> None:
        self._masks = steps = [(mask.pattern, _replacement(mask)) for mask in masks] + [(_WHITE_SPACE, " ")]
        self._steps = [pl.col("message").str.replace_all(*step) for step in steps]
        # All steps from the n-th on as one expression: polars then pays for one call, not for each.
        self._from = [_chain(steps[start:], pl.col("message")).str.strip_chars() for start in range(len(steps))]

    def mask(self, messages: pl.Series) -> pl.Series:
        """String [n] to String [n]; each message by itself, whatever stands beside it."""
        return self.distinct(messages)[0]

    def distinct(self, messages: pl.Series, start: int = 0) -> tuple[pl.Series, Distinct | None]:
        """``mask`` by the masks from number ``start`` on, and what it came to once more, where repetition was found on
        the way."""
        for at in range(start, len(self._steps)):
            if messages.n_unique() * 2 <= len(messages) > 0:
                few = messages.unique()
                places = messages.cast(pl.Enum(few)).to_physical()
                masked, fewer = self.distinct(few, at)
                code = places.cast(pl.Int64).to_numpy()
                distinct = Distinct(masked, code) if fewer is None else Distinct(fewer.messages, fewer.code[code])
                return masked.gather(places), distinct
            if len(messages) < _WORTH_A_LOOK:
                return _apply(self._from[at], messages), None
            messages = _apply(self._steps[at], messages)
        return messages.str.strip_chars(), None

    def expression(self, message: pl.Expr) -> pl.Expr:
        """The same as one expression of a larger query: the quicker way for up to some thousand messages."""
        return _chain(self._masks, message).str.strip_chars()


def _replacement(mask: Mask) -> str:
    keeps = "keep" in regex.groups(mask.pattern)
    return f"${{keep}}<{mask.name}>" if keeps else f"<{mask.name}>"


def _chain(steps: Sequence[tuple[str, str]], expression: pl.Expr) -> pl.Expr:
    for pattern, replacement in steps:
        expression = expression.str.replace_all(pattern, replacement)
    return expression


def _apply(expression: pl.Expr, messages: pl.Series) -> pl.Series:
    return messages.alias("message").to_frame().select(expression).to_series()
