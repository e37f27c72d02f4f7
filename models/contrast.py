"""A session laid beside a normal one: which steps both have, what is missing, what came extra, and what out of turn.

Owns the costs, the alignment and the kinds of steps. Does not know which normal session is the nearest
(``models.normals``), nor what a key means.

The alignment is the cheapest by insertions and deletions (indel distance, of which the longest common subsequence is
the other side), by dynamic programming from the end to the beginning, so that of events that came too often the last
ones are the extra ones. What is not known costs nothing: steps of the normal session before the first key that is kept,
and, while the session is open, steps after its last.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.sessions import Bool

Costs = NDArray[np.int32]

Kind = Literal["same", "missing", "extra", "earlier", "later"]
"""``missing``: the normal session has it, this one has not. Of events that came: ``same`` in both; ``extra`` this one
alone has it; ``earlier`` and ``later``: both have it, and it came before or after its turn."""

MISSING = 1_024
EXTRA = MISSING + 1
"""Of as few steps as can be those that are extra are avoided first: what came is more likely to be a step than not.
Sequences are shorter than 1,024, so the difference never outweighs a step."""
FAR = 1 << 30


@dataclass(frozen=True, slots=True)
class Step:
    """One event of either session."""

    kind: Kind
    key: int


@dataclass(frozen=True, slots=True)
class Contrast:
    """``steps`` in order; ``before`` and ``after``: how many steps the normal session has outside what is compared."""

    steps: tuple[Step, ...]
    before: int
    after: int

    def count(self, *kinds: Kind) -> int:
        """How many steps are of these kinds."""
        return sum(step.kind in kinds for step in self.steps)


def first_costs(shape: tuple[int, int], ended: bool) -> Costs:
    """Costs int32 [k, n + 1] of no key beside the last 0..n steps of k normal sessions."""
    rows, steps = shape
    each = MISSING if ended else 0
    return np.tile(each * np.arange(steps + 1, dtype=np.int32), (rows, 1))


def next_costs(costs: Costs, same: Bool) -> Costs:
    """Costs int32 [k, n + 1] with one key more before those of ``costs``; ``same`` bool [k, n] says which steps, from
    the last on, are of that key."""
    turn = costs + EXTRA
    np.minimum(turn[:, 1:], np.where(same, costs[:, :-1], np.int32(FAR)), out=turn[:, 1:])
    # A step left out costs the same wherever it is: with that slope taken away, the cheapest so far is a running least.
    slope = MISSING * np.arange(costs.shape[1], dtype=np.int32)
    found: Costs = np.minimum.accumulate(turn - slope, axis=1) + slope
    return found


def contrast(keys: Sequence[int], normal: Sequence[int], *, begun: bool, ended: bool) -> Contrast:
    """``keys`` of a session beside those of a ``normal`` one; ``begun``: they begin where the session began, ``ended``:
    it is over. Both shorter than 1,024."""
    m, n = len(keys), len(normal)
    backwards = np.array(normal, dtype=np.int64)[::-1]
    table = [first_costs((1, n), ended)]
    for key in reversed(keys):
        table.append(next_costs(table[-1], (backwards == key)[None, :]))
    cost = np.concatenate(table)
    # Where its beginning is unknown it is laid as early as it fits.
    j = n if begun else n - int(np.argmin(cost[m][::-1]))
    i, before = m, n - j
    steps: list[Step] = []
    while i:
        if j and keys[m - i] == normal[n - j]:
            steps.append(Step("same", keys[m - i]))
            i, j = i - 1, j - 1
        elif cost[i, j] == cost[i - 1, j] + EXTRA:
            steps.append(Step("extra", keys[m - i]))
            i -= 1
        else:
            steps.append(Step("missing", normal[n - j]))
            j -= 1
    rest = normal[n - j :]
    if ended:
        steps += [Step("missing", key) for key in rest]
        rest = ()
    return Contrast(_out_of_turn(steps, rest), before, len(rest))


def _out_of_turn(steps: Sequence[Step], rest: Sequence[int]) -> tuple[Step, ...]:
    """An event that is extra in one place and missing in another, or still to come in the ``rest``, came out of turn:
    one step, not two."""
    missing: dict[int, deque[int]] = {}
    for at, step in enumerate(steps):
        if step.kind == "missing":
            missing.setdefault(step.key, deque()).append(at)
    coming = Counter(rest)
    found, dropped = list(steps), set()
    for at, step in enumerate(steps):
        if step.kind != "extra":
            continue
        if missing.get(step.key):
            turn = missing[step.key].popleft()
            dropped.add(turn)
            found[at] = Step("earlier" if at < turn else "later", step.key)
        elif coming[step.key]:
            coming[step.key] -= 1
            found[at] = Step("earlier", step.key)
    return tuple(step for at, step in enumerate(found) if at not in dropped)
