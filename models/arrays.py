"""Arrays of a file that somebody else may have written: no pickle, and no more memory than is sensible.

Owns the limit. Does not know what the arrays mean.
"""

import io
import zipfile
from typing import Any

import numpy as np

LARGEST_BYTES = 2**30
"""Of all arrays of a file, unpacked; a sample for rehearsal has some millions."""


def open_arrays(data: bytes) -> Any:
    """An ``.npz`` as ``numpy.load`` opens it. Raises ValueError where it would unpack to more than the limit or holds
    pickled objects, and what numpy and zipfile raise for damaged ones."""
    with zipfile.ZipFile(io.BytesIO(data)) as members:
        size = sum(member.file_size for member in members.infolist())
    if size > LARGEST_BYTES:
        raise ValueError(f"it unpacks to {size:,} bytes, the limit is {LARGEST_BYTES:,}")
    return np.load(io.BytesIO(data), allow_pickle=False)
