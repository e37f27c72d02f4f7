"""Key vectors: keys with the same neighbours are near each other, and hidden keys teach the unknown one."""

from dataclasses import replace

import numpy as np

from models.vocabulary import BOS, EOS, PAD, UNK, Vocabulary
from training.loglstm import LogLSTMSettings
from training.loglstm.vectors import key_vectors

SETTINGS = LogLSTMSettings(embedding=4, vector_steps=120)
SESSIONS = [np.array([1, middle, 4, 5]) for middle in (2, 3)]
COUNTS = np.array([3, 1])
VOCABULARY = Vocabulary.fit(SESSIONS)


def test_keys_that_stand_for_each_other_are_near() -> None:
    vectors = key_vectors(SESSIONS, COUNTS, VOCABULARY, replace(SETTINGS, vector_steps=400), seed=0)
    assert vectors.shape == (VOCABULARY.size, 4)
    assert vectors.dtype == np.float32
    keys = vectors[VOCABULARY.encode(np.arange(1, 6))]
    distance = np.linalg.norm(keys[:, None] - keys[None, :], axis=2)
    others = distance[np.triu_indices(5, 1)]
    assert distance[1, 2] < np.median(others)


def test_the_unknown_key_is_learned_where_keys_are_hidden() -> None:
    never = replace(SETTINGS, unk_dropout=0.0, vector_steps=1)
    start = key_vectors(SESSIONS, COUNTS, VOCABULARY, never, seed=0)
    untouched = key_vectors(SESSIONS, COUNTS, VOCABULARY, replace(never, vector_steps=30), seed=0)
    learned = key_vectors(SESSIONS, COUNTS, VOCABULARY, replace(never, vector_steps=30, unk_dropout=0.2), seed=0)
    assert np.array_equal(start[UNK], untouched[UNK])
    assert not np.allclose(start[UNK], learned[UNK])
    assert not np.allclose(start[[BOS, EOS]], untouched[[BOS, EOS]])
    assert (learned[PAD] == 0).all()


def test_the_same_seed_gives_the_same_vectors() -> None:
    first, second, other = (key_vectors(SESSIONS, COUNTS, VOCABULARY, SETTINGS, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
