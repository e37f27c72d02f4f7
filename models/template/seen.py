"""A dictionary of messages and the ids of their templates, from which a changed template's messages can be picked.

Owns what is remembered and for how long. Does not know the tree: whoever changes that, takes out what became untrue.
"""

from collections.abc import Sequence
from itertools import islice

from models.template.tokens import WILDCARD, fits, tokenize


class Seen:
    """Message -> template id, grouped by number of tokens and first token.

    Where ``capacity`` messages are held and one more comes, the older half is forgotten.
    """

    def __init__(self, capacity: int | None = None) -> None:
        self.ids: dict[str, int] = {}
        """For looking up; changed through the methods only."""
        self._capacity = capacity
        self._groups: dict[int, dict[str, set[str]]] = {}

    def add(self, message: str, tokens: Sequence[str], template_id: int) -> None:
        """Remember, or correct, a message; ``tokens`` are its tokens."""
        if self._capacity is not None and len(self.ids) >= self._capacity:
            self._forget_older_half()
        self.ids[message] = template_id
        self._group(message, tokens)

    def fitting(self, template: Sequence[str]) -> list[str]:
        """The messages that a template of these tokens matches."""
        groups = self._groups.get(len(template))
        if groups is None:
            return []
        first = template[0] if template else ""
        if first == WILDCARD:
            candidates = [message for group in groups.values() for message in group]
        else:
            candidates = list(groups.get(first, ()))
        return [message for message in candidates if fits(template, tokenize(message))]

    def drop(self, messages: Sequence[str]) -> None:
        """Forget these, which are all held."""
        for message in messages:
            tokens = tokenize(message)
            self._groups[len(tokens)][tokens[0] if tokens else ""].discard(message)
            del self.ids[message]

    def clear(self) -> None:
        """Forget all."""
        self.ids.clear()
        self._groups.clear()

    def _group(self, message: str, tokens: Sequence[str]) -> None:
        first = tokens[0] if tokens else ""
        self._groups.setdefault(len(tokens), {}).setdefault(first, set()).add(message)

    def _forget_older_half(self) -> None:
        kept = dict(islice(self.ids.items(), len(self.ids) // 2 + 1, None))
        self.clear()
        # In place: the hot path holds on to this very dictionary.
        self.ids.update(kept)
        for message in kept:
            self._group(message, tokenize(message))
