"""From sessions to what the network reads: their tokens, and the passes in which every token is masked once.

Owns the order of tokens, the masks and the batches. Does not know the network, nor what is made of its answers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from models.sessions import SEGMENT, Bool, Int64
from models.vocabulary import BOS, EOS, PAD, Vocabulary

LEAD = 1
"""Tokens before a session's first key: one, whose state stands for the session (``DIST`` in the paper). It is the
place ``BOS``."""

CELLS = 4096
"""Tokens in one call of the network: of whole segments seven, whose attention takes 30 MB by then with four heads."""

ANSWERS = 2_000_000
"""Logits that one call may give back, for sources with thousands of templates."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """u sequences end to end: ``flat`` int64 [all tokens], places in a vocabulary; ``start`` int64 [u], where each
    begins; ``length`` int64 [u], its tokens, the first included."""

    flat: Int64
    start: Int64
    length: Int64

    def rows(self, chosen: Int64) -> Int64:
        """The sequences numbered ``chosen`` int64 [n], int64 [n, longest], ``PAD`` on the right."""
        length = self.length[chosen]
        step = np.arange(length.max(initial=0))
        inside = step < length[:, None]
        return np.where(inside, self.flat[np.where(inside, self.start[chosen][:, None] + step, 0)], PAD)


@dataclass(frozen=True, slots=True)
class Batch:
    """One call of the network: ``places`` int64 [n, t]; the masked steps ``at`` int64 [n, m], of which ``judged`` bool
    [n, m] are none that only fill up; and which sequence each row is, ``sequence`` int64 [n]."""

    places: Int64
    at: Int64
    judged: Bool
    sequence: Int64


def tokens(vocabulary: Vocabulary, sequences: Sequence[Int64], end: bool) -> Tokens:
    """Of ``sequences``, each int64 [1..SEGMENT] of template ids. With ``end`` they end in ``EOS``, save those of
    ``SEGMENT`` keys: their session may go on in another segment."""
    keys = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    length = LEAD + keys + (end & (keys < SEGMENT))
    start = np.cumsum(length) - length
    flat = np.full(length.sum(), EOS, dtype=np.int64)
    flat[start] = BOS
    if len(sequences):
        shift = start + LEAD - (np.cumsum(keys) - keys)
        flat[np.arange(keys.sum()) + np.repeat(shift, keys)] = vocabulary.encode(np.concatenate(sequences))
    return Tokens(flat, start, length)


def passes(given: Tokens, groups: int, mask: int, answers: int) -> Iterator[Batch]:
    """Every token but the first of every sequence masked exactly once, in up to ``groups`` rows a sequence.

    Row ``p`` of a sequence masks its tokens ``p``, ``p + groups``, ``p + 2 groups`` and so on (0: that of the first
    key) by the place ``mask``. ``answers``: logits for one masked step. Rows of like length share a batch.
    """
    judged = given.length - LEAD
    rows = np.minimum(judged, groups)
    sequence = np.repeat(np.arange(len(rows)), rows)
    phase = np.arange(len(sequence)) - np.repeat(np.cumsum(rows) - rows, rows)
    length = given.length[sequence]
    masked = -(-(length - LEAD) // groups)
    for part in calls(length, answers=masked * answers):
        places = given.rows(sequence[part])
        at = LEAD + phase[part][:, None] + groups * np.arange(masked[part].max())
        inside = at < length[part][:, None]
        row, column = np.nonzero(inside)
        places[row, at[row, column]] = mask
        yield Batch(places, np.where(inside, at, 0), inside, sequence[part])


def whole(given: Tokens) -> Iterator[Batch]:
    """Every sequence once with nothing masked; ``at`` holds the first step alone, and nothing is judged."""
    for part in calls(given.length):
        nothing = np.zeros((len(part), 1), dtype=np.int64)
        yield Batch(given.rows(part), nothing, nothing > 0, part)


def calls(length: Int64, most: int = CELLS, answers: Int64 | None = None) -> Iterator[Int64]:
    """Rows of ``length`` int64 [n] for one call of the network after another, shortest first: at most ``most`` of them
    and ``CELLS`` tokens when filled up to the longest, or a single row; ``answers`` int64 [n] of a row, if given, count
    likewise up to ``ANSWERS``, and must grow with the length."""
    order = np.argsort(length, kind="stable")
    begin = 0
    while begin < len(order):
        candidates = order[begin : begin + most]
        rows = np.arange(1, len(candidates) + 1)
        fits = rows * length[candidates] <= CELLS
        if answers is not None:
            fits &= rows * answers[candidates] <= ANSWERS
        part = candidates[: max(1, int(fits.sum()))]
        yield part
        begin += len(part)


def cut(sequence: Int64) -> list[Int64]:
    """Segments of ``SEGMENT`` keys and what is left over, in order; ``sequence`` itself where it is no longer."""
    return [sequence[begin : begin + SEGMENT] for begin in range(0, max(1, len(sequence)), SEGMENT)]
