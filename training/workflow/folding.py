"""Loops folded in a session's history: a fragment that was just repeated counts once.

Without it, how often a loop has run would look like a context of its own. Does not know what contexts are for.
"""

from collections.abc import Iterator, Sequence

from models.sessions import BEFORE_SESSION

Context = tuple[int, ...]


def contexts(keys: Sequence[int], length: int, fragment: int) -> Iterator[Context]:
    """At the start of a session and after each of its keys: the newest ``length`` keys of its folded history, fewer
    where it began later (``BEFORE_SESSION`` stands first then). Repetitions of up to ``fragment`` keys are folded."""
    history = [BEFORE_SESSION]
    yield (BEFORE_SESSION,)
    for key in keys:
        history.append(key)
        for size in range(1, min(fragment, len(history) // 2) + 1):
            if history[-size:] == history[-2 * size : -size]:
                del history[-size:]
                break
        yield tuple(history[-length:])
