"""Text to token ids: limits, padding, hostile text."""

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece as Model
from tokenizers.pre_tokenizers import Whitespace

from models.errors import BundleError
from models.wordpiece import MAX_TOKENS, WordPiece, padded


@pytest.fixture
def wordpiece() -> WordPiece:
    """Every letter is a token; padding and truncation as a careless export leaves them."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    vocabulary = {token: place for place, token in enumerate(["[PAD]", "[UNK]", *letters])}
    made = Tokenizer(Model(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    made.enable_padding(length=128)
    made.enable_truncation(3)
    return WordPiece.from_json(made.to_str().encode())


def test_limits_of_the_file_are_replaced(wordpiece: WordPiece) -> None:
    assert wordpiece.ids("a b c d") == [2, 3, 4, 5]
    assert len(wordpiece.ids("a " * 1_000)) == MAX_TOKENS


def test_every_text_is_in_one_batch_with_others_of_its_length(wordpiece: WordPiece) -> None:
    texts = ["a b c", "a", "", "b", "c b a", "a b c d e"]
    found = {}
    for batch in wordpiece.batches(texts, size=2):
        assert batch.ids.shape == batch.mask.shape == (2, max(len(texts[row].split()) for row in batch.rows))
        for row, ids, mask in zip(batch.rows.tolist(), batch.ids, batch.mask, strict=True):
            found[row] = ids[mask.astype(bool)].tolist()
            assert not ids[~mask.astype(bool)].any()
    assert found == {row: wordpiece.ids(text) for row, text in enumerate(texts)}
    assert list(wordpiece.batches([])) == []


def test_padding_of_nothing_is_empty() -> None:
    ids, mask = padded([])
    assert ids.shape == mask.shape == (0, 0)
    assert ids.dtype == mask.dtype == np.int64


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\x00", "\U0010ffff", "é" * 10_000, "x" * 1_000_000])
def test_any_text_has_tokens(wordpiece: WordPiece, text: str) -> None:
    assert 0 < len(wordpiece.ids(text)) <= MAX_TOKENS


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff\xfe", b'{"version":"1.0"}', b"[1]"])
def test_a_damaged_tokeniser_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match="restore the bundle"):
        WordPiece.from_json(data)
