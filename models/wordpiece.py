"""Text to the token ids that a BERT reads, in batches of like length.

Owns the tokeniser's limits (length, hostile text) and padding. Does not know any network.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from tokenizers import Tokenizer

from models.errors import BundleError
from models.sessions import Int64

MAX_TOKENS = 50
"""Tokens of a text that count, the two that mark its ends included (CLDTLog's limit)."""
MAX_CHARACTERS = 8_192
"""Characters of a text that are looked at: more than 50 tokens of ordinary words."""
BATCH = 32
"""Texts in one call of a network; attention over more at once costs memory and gains nothing on a CPU."""


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """``rows`` int64 [b], which of the given texts; ``ids`` and ``mask`` int64 [b, t], padded to the longest of them,
    ``mask`` 1 where there is a token."""

    rows: Int64
    ids: Int64
    mask: Int64


class WordPiece:
    """A fast tokeniser cut to ``MAX_TOKENS``. Safe to use from several threads at once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """``tokenizer`` is taken over: its own padding and truncation are replaced."""
        tokenizer.no_padding()
        tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer = tokenizer

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """From the text of a ``tokenizer.json``. Raises BundleError where it cannot be read."""
        try:
            return cls(Tokenizer.from_str(data.decode()))
        except Exception as error:  # tokenizers raises bare Exception for every kind of damage
            raise BundleError(f"the tokeniser is damaged ({error}); restore the bundle") from error

    def ids(self, text: str) -> list[int]:
        """Token ids of one text, the marks of its ends included; at least those two, at most ``MAX_TOKENS``."""
        # A lone surrogate is no Unicode text, and the tokeniser refuses it.
        sound = text[:MAX_CHARACTERS].encode("utf-8", "replace").decode()
        found: list[int] = self._tokenizer.encode(sound).ids
        return found

    def tokens(self, text: str) -> list[str]:
        """The tokens themselves, for explanations."""
        return [self._tokenizer.id_to_token(token) or "" for token in self.ids(text)]

    def batches(self, texts: Sequence[str], size: int = BATCH) -> Iterator[TokenBatch]:
        """Every text once, shortest first, so that a batch holds little padding."""
        ids = [self.ids(text) for text in texts]
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            yield TokenBatch(np.array(rows, dtype=np.int64), *padded([ids[row] for row in rows]))


def padded(ids: Sequence[Sequence[int]]) -> tuple[Int64, Int64]:
    """Ids and mask, int64 [n, t], of n lists of token ids, t the longest one's length."""
    lengths = np.array([len(row) for row in ids], dtype=np.int64)
    mask = (np.arange(lengths.max(initial=0)) < lengths[:, None]).astype(np.int64)
    cells = np.zeros(mask.shape, dtype=np.int64)
    cells[mask.astype(bool)] = [token for row in ids for token in row]
    return cells, mask


def digest(tokenizer_json: bytes) -> str:
    """sha256 (hex): a graph carries that of the tokeniser that it was trained with."""
    return hashlib.sha256(tokenizer_json).hexdigest()
