"""The words of a template, and what they mean as vectors.

Owns what of a template is given to the encoder. Does not know which encoder it is, nor templates' ids.
"""

import re
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from models.loganomaly.counts import Float32

_PLACEHOLDER = re.compile(r"<[^<>]{0,64}>")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NO_LETTERS = re.compile(r"[\W\d_]+")


class Encoder(Protocol):
    """A sentence encoder."""

    def encode(self, texts: Sequence[str]) -> Float32:
        """Vectors float32 [n, width] of n texts; a text's vector does not depend on the others."""


def words(template: str) -> str:
    """The words of a template: no placeholder, number or mark, ``camelCase`` taken apart.

    Placeholders are left out because templates that share many of them would seem alike.
    """
    text = _HUMP.sub(" ", _PLACEHOLDER.sub(" ", template))
    return _NO_LETTERS.sub(" ", text).strip()


def template_vectors(templates: Sequence[str], encoder: Encoder) -> Float32:
    """Vectors of templates, float32 [n, width] of length 1; zeros for one without words, which is like no other."""
    said = [words(template) for template in templates]
    vectors = np.asarray(encoder.encode(said), dtype=np.float32)
    length = np.linalg.norm(vectors, axis=1)
    usable = np.array([bool(text) for text in said]) & np.isfinite(length) & (length > 0)
    found = np.zeros_like(vectors)
    found[usable] = vectors[usable] / length[usable, None]
    return found
