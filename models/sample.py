"""The sample of training windows in a bundle: learners rehearse it, and judges know it by heart from the start.

Owns its name and form. Does not know how it is drawn (``training.rehearsal``).
"""

import logging
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from models.arrays import open_arrays
from models.errors import BundleError
from models.judge import Judge
from models.members.event import KeyMember
from models.sessions import Int64

log = logging.getLogger("tocsin")

REPLAY = "replay.npz"
"""Name of the bundle file."""
WARMED = 20_000
"""Windows that a judge scores beforehand at most: four times what training keeps, a fifth of a second."""


@dataclass(frozen=True, slots=True)
class Sample:
    """k distinct windows: ``history`` int64 [k, h], the next ``key`` int64 [k] and how often training saw each,
    ``count`` int64 [k]."""

    history: Int64
    key: Int64
    count: Int64

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Raises BundleError where the file is damaged."""
        try:
            with open_arrays(data) as sample:
                history, key, count = (np.asarray(sample[name], dtype=np.int64) for name in ("history", "key", "count"))
        except (EOFError, KeyError, OSError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise BundleError(f"{REPLAY} is damaged ({error}); restore the bundle") from error
        if history.ndim != 2 or not key.shape == count.shape == history.shape[:1]:
            raise BundleError(f"{REPLAY} is damaged (its columns do not fit together); restore the bundle")
        return cls(history, key, count)


def warm(judge: Judge, files: Mapping[str, bytes]) -> None:
    """Have members score the sample among a bundle's ``files``, so that what is usual is remembered before the first
    line comes: on the HDFS log two thirds of the windows that a network would else meet for the first time. No output
    depends on it, so that a damaged sample, which only a learner needs, is no more than said in the log."""
    if REPLAY not in files:
        return
    try:
        sample = Sample.read(files[REPLAY])
    except BundleError as error:
        log.warning("%s; until then the first lines take longer and nothing can be learned", error)
        return
    for member in judge.events:
        if isinstance(member, KeyMember) and member.window <= sample.history.shape[1]:
            member.warm(sample.history[:WARMED], sample.key[:WARMED])
