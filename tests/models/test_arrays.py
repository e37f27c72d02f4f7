"""A file of arrays that somebody made to hurt is refused before it is unpacked."""

import io
import zipfile

import numpy as np
import pytest

from models.arrays import LARGEST_BYTES, open_arrays


def test_arrays_are_read() -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, history=np.arange(6).reshape(2, 3))
    with open_arrays(buffer.getvalue()) as arrays:
        assert arrays["history"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as members:
        for number in range(5):
            members.writestr(f"{number}.npy", bytes(2**20))
    bomb = buffer.getvalue()
    assert len(bomb) < 2**16
    # What a member says of its size is what numpy would make room for: as if each were of 256 MiB.
    claimed = (2**28).to_bytes(4, "little")
    assert len(open_arrays(bomb).files) == 5
    with pytest.raises(ValueError, match="it unpacks to 1,342,177,280 bytes"):
        open_arrays(bomb.replace((2**20).to_bytes(4, "little"), claimed))
    assert LARGEST_BYTES < 5 * 2**28


def test_pickled_objects_are_refused() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, history=np.array([{"a": 1}], dtype=object))
    with open_arrays(buffer.getvalue()) as arrays, pytest.raises(ValueError, match="allow_pickle"):
        arrays["history"]
