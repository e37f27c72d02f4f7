"""Rows of normal timeframes that go into the bundle, for rehearsal when the network is fine-tuned later.

Owns the file's form and its bound. Does not know networks.
"""

import io
import zipfile
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.arrays import open_arrays
from models.errors import BundleError

Float32 = NDArray[np.float32]

REPLAY = "autolog.replay.npz"
LARGEST = 200_000
"""Bytes of the rows kept at most, before compression."""


def sample_rows(rows: Float32, seed: int) -> bytes:
    """``rows`` float32 [n, N] as npz bytes; a random sample, in order, of those that are too many."""
    most = _most(rows.shape[1])
    if len(rows) > most:
        rows = rows[np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))]
    return written(rows)


def written(rows: Float32) -> bytes:
    """The newest of ``rows`` float32 [n, N], as many as may be kept."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, rows=rows[-_most(rows.shape[1]) :])
    return buffer.getvalue()


def read_rows(files: Mapping[str, bytes], entities: int) -> Float32 | None:
    """The rows float32 [n, entities] of a bundle; None of one made before rows were kept. Raises BundleError where they
    are damaged."""
    if REPLAY not in files:
        return None
    try:
        with open_arrays(files[REPLAY]) as found:
            rows: Float32 = found["rows"]
    except (EOFError, KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise BundleError(f"{REPLAY} is damaged ({error}); restore the bundle") from error
    if rows.dtype != np.float32 or rows.ndim != 2 or rows.shape[1] != entities or not np.isfinite(rows).all():
        raise BundleError(f"{REPLAY} holds no rows of {entities} entities; restore the bundle")
    return rows


def _most(entities: int) -> int:
    return max(1, LARGEST // (4 * max(1, entities)))
