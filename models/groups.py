"""Rows by session.

Owns the numbering: sessions in order of first appearance, the rows of each in row order. Does not know what a row is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Groups:
    """m rows of s sessions, grouped.

    ``names`` of the sessions; ``of`` int64 [m], which session each row is of; ``order`` int64 [m], row numbers by
    session; ``start`` int64 [s + 1], where in ``order`` the rows of each begin.
    """

    names: list[str]
    of: Int64
    order: Int64
    start: Int64

    @classmethod
    def by(cls, session: Sequence[str]) -> "Groups":
        """Rows grouped by the ``session`` of each."""
        numbers = dict(zip(dict.fromkeys(session), count(), strict=False))
        of = np.fromiter(map(numbers.__getitem__, session), dtype=np.int64, count=len(session))
        start = np.zeros(len(numbers) + 1, dtype=np.int64)
        np.cumsum(np.bincount(of, minlength=len(numbers)), out=start[1:])
        return cls(list(numbers), of, np.argsort(of, kind="stable"), start)

    def __len__(self) -> int:
        return len(self.names)

    def rows(self, number: int) -> Int64:
        """Row numbers of one session, in row order."""
        return self.order[self.start[number] : self.start[number + 1]]
