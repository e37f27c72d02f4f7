"""The templates below one node of the prefix tree, all compared with a message at once.

Owns the arrays. Does not know tokens as text: they come as codes, and what a code means is the caller's.
"""

import numpy as np
from numpy.typing import NDArray

from models.template.change import NO_TEMPLATE

Codes = NDArray[np.int32]

WILDCARD_CODE = 0
"""Never a message's own."""


class Leaf:
    """Templates of one length n, in the order in which they came.

    In a full tree, twenty thousand of them may stand in one leaf: strangers who send random words can bring that about.
    Compared token by token with each of them, a batch of such messages would hold up a source for minutes.
    """

    def __init__(self, length: int) -> None:
        self._ids: list[int] = []
        self._row: dict[int, int] = {}
        # Columns lie together in memory: there are few, and reducing over them is then as fast as adding arrays.
        self._rows: Codes = np.empty((4, length), dtype=np.int32, order="F")
        self._wildcards = np.empty(4, dtype=np.int64)

    def put(self, template_id: int, codes: Codes) -> None:
        """Add a template int32 [n], or replace it, which keeps its rank."""
        row = self._row.setdefault(template_id, len(self._ids))
        if row == len(self._ids):
            self._ids.append(template_id)
            if row == len(self._rows):
                rows = np.empty((2 * row, self._rows.shape[1]), dtype=np.int32, order="F")
                rows[:row] = self._rows
                self._rows = rows
                self._wildcards = np.concatenate([self._wildcards, self._wildcards])
        self._rows[row] = codes
        self._wildcards[row] = np.count_nonzero(codes == WILDCARD_CODE)

    def match(self, codes: Codes) -> int:
        """Id of the template that matches int32 [n]: most wildcards, then oldest; NO_TEMPLATE where none does."""
        rows = self._rows[: len(self._ids)]
        fitting = np.flatnonzero(((rows == codes) | (rows == WILDCARD_CODE)).all(axis=1))
        return self._first(fitting) if len(fitting) else NO_TEMPLATE

    def nearest(self, codes: Codes) -> tuple[int, int]:
        """(id, equal tokens) of the template with the most tokens equal, then most wildcards, then oldest."""
        rows = self._rows[: len(self._ids)]
        equal = (rows == codes).sum(axis=1, dtype=np.int32)
        most = int(equal.max())
        return self._first(np.flatnonzero(equal == most)), most

    def _first(self, rows: NDArray[np.int64]) -> int:
        return self._ids[int(rows[self._wildcards[rows].argmax()])]
