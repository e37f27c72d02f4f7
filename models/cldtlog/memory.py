"""Answers already found, by text, so that a repeated message costs one look-up.

Owns the bound on how much is kept. Does not know what is asked: an answer must depend on its text alone.
"""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Answer = TypeVar("Answer")

ENTRIES = 16_384
LONGEST = 1_024
"""Characters of a text that is remembered: with ``ENTRIES`` this bounds the memory to some tens of MiB."""


class Memory(Generic[Answer]):
    """A bounded dictionary that starts over when it is full. Safe to use from several threads at once."""

    def __init__(self, entries: int = ENTRIES) -> None:
        self._entries = entries
        self._known: dict[str, Answer] = {}

    def __len__(self) -> int:
        return len(self._known)

    def answers(self, texts: Sequence[str], find: Callable[[list[str]], Sequence[Answer]]) -> list[Answer]:
        """The answer to each of ``texts``; ``find`` gets the distinct ones that are not remembered, in order."""
        known = self._known
        try:
            return [known[text] for text in texts]
        except KeyError:
            missing = [text for text in dict.fromkeys(texts) if text not in known]
        found = dict(zip(missing, find(missing), strict=True))
        answers = [found[text] if text in found else known[text] for text in texts]
        kept = {text: answer for text, answer in found.items() if len(text) <= LONGEST}
        # A new dictionary, not a cleared one: another thread may be reading this one.
        if len(known) + len(kept) > self._entries:
            known = self._known = {}
        if len(kept) <= self._entries:
            known.update(kept)
        return answers
