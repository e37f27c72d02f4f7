"""What of a template reaches the encoder, and what comes back."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from models.loganomaly.words import template_vectors, words


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("Receiving block <BLK> src: <IP> dest: <IP>", "Receiving block src dest"),
        ("PacketResponder <NUM> for <*> terminating", "Packet Responder for terminating"),
        ("HTTPServer x86_64 /etc/hosts", "HTTPServer x etc hosts"),
        ("größe überschritten 17%", "größe überschritten"),
        ("<*> <*> 12 --", ""),
        ("a < b > c", "a c"),
        ("", ""),
        ("\x00<<<" * 1000, ""),
    ],
)
def test_words_are_what_is_no_parameter(template: str, said: str) -> None:
    assert words(template) == said


class Fixed:
    """Gives the rows that it was made with."""

    def __init__(self, *rows: list[float]) -> None:
        self.rows = np.array(rows, dtype=np.float32)
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked = list(texts)
        return self.rows


def test_vectors_have_length_one_and_wordless_or_broken_ones_are_zero() -> None:
    encoder = Fixed([3.0, 4.0], [1.0, 0.0], [0.0, 0.0], [np.nan, 1.0], [np.inf, 0.0])
    vectors = template_vectors(["open <*>", "<*> <*>", "a", "b", "c"], encoder)
    np.testing.assert_allclose(vectors, [[0.6, 0.8], [0, 0], [0, 0], [0, 0], [0, 0]], rtol=1e-6)
    assert vectors.dtype == np.float32
    assert encoder.asked[0] == "open"
