"""Distinct normal sequences that go into the bundle, for rehearsal when the network is fine-tuned later.

Owns the file's form and its bound. Does not know networks.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from models.arrays import open_arrays
from models.errors import BundleError, DataError
from models.sessions import SEGMENT, Bool, Float64, Int64
from models.vocabulary import Vocabulary

REPLAY = "logbert.replay.npz"
TOKENS = 8_000
"""Keys kept at most, 32 KB: a look at all of them takes a tenth of a second."""


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """``sequences``, int64 [1..SEGMENT] of template ids each, how often training saw each, ``count`` float64 [u], and
    the ``vocabulary`` of the network: the places mean the same to both members that it serves."""

    sequences: Sequence[Int64]
    count: Float64
    vocabulary: Vocabulary

    @classmethod
    def sample(cls, sequences: Sequence[Int64], count: Float64, vocabulary: Vocabulary, seed: int) -> Self:
        """As many as may be kept, drawn by ``seed``."""
        order = np.random.default_rng(seed).permutation(len(sequences))
        size = np.cumsum([len(sequences[at]) for at in order.tolist()])
        kept = np.sort(order[: max(1, int((size <= TOKENS).sum()))]).tolist()
        return cls([sequences[at] for at in kept], count[kept], vocabulary)

    def with_lessons(self, sequences: Sequence[Int64], vocabulary: Vocabulary) -> "Rehearsed":
        """These and ``sequences``, in the place of the first ones where they are too many."""
        every = [*self.sequences, *sequences]
        count = np.concatenate([self.count, np.ones(len(sequences))])
        size = np.cumsum([len(one) for one in every][::-1])[::-1]
        first = min(int((size > TOKENS).sum()), len(every) - 1)
        return Rehearsed(every[first:], count[first:], vocabulary)

    def beside(self, live: Sequence[Int64], seed: int) -> tuple["Rehearsed", Bool]:
        """These and after them those of ``live`` that are missing, as many as may be kept, drawn by ``seed``, which
        training saw 0 times; and which of all live traffic showed, bool [u]. The file has no room for them."""
        known = {one.tobytes() for one in self.sequences}
        fresh = [one for one in live if one.tobytes() not in known]
        order = np.random.default_rng(seed).permutation(len(fresh))
        size = np.cumsum([len(fresh[at]) for at in order.tolist()])
        drawn = [fresh[at] for at in np.sort(order[: int((size <= TOKENS).sum())]).tolist()]
        every = [*self.sequences, *drawn]
        shown = {one.tobytes() for one in live}
        return (
            Rehearsed(every, np.concatenate([self.count, np.zeros(len(drawn))]), self.vocabulary),
            np.array([one.tobytes() in shown for one in every], dtype=np.bool_),
        )

    def to_npz(self) -> bytes:
        """Plain arrays."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            flat=np.concatenate(self.sequences).astype(np.int32),
            length=np.array([len(one) for one in self.sequences], dtype=np.int32),
            count=self.count,
            keys=np.array(self.vocabulary.keys, dtype=np.int32),
        )
        return buffer.getvalue()


def read_rehearsed(files: Mapping[str, bytes]) -> Rehearsed | None:
    """Those of a bundle; None of one made before they were kept. Raises BundleError where they are damaged."""
    if REPLAY not in files:
        return None
    try:
        with open_arrays(files[REPLAY]) as found:
            flat, length, keys = (found[name].astype(np.int64) for name in ("flat", "length", "keys"))
            count = found["count"].astype(np.float64)
        if length.min(initial=1) < 1 or length.max(initial=1) > SEGMENT or length.sum() != len(flat):
            raise ValueError("lengths that do not fit")
        if not len(length) == len(count) > 0 or not (count > 0.0).all():
            raise ValueError("counts that do not fit")
        vocabulary = Vocabulary(keys.tolist())
    except (DataError, EOFError, KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise BundleError(f"{REPLAY} is damaged ({error}); restore the bundle") from error
    return Rehearsed(np.split(flat, np.cumsum(length)[:-1]), count, vocabulary)
