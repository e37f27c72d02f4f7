"""Keys that a network does not know yet, appended to its vocabulary, embedding and output.

Owns where they go and what they begin as. Does not know what is then learned of them.
"""

from collections.abc import Iterable

import numpy as np

from models.vocabulary import EOS, LARGEST_ID, OVERFLOW, UNK, Vocabulary
from training.onnx import State


def grown(state: State, vocabulary: Vocabulary, ids: Iterable[int]) -> tuple[State, Vocabulary]:
    """The weights and the vocabulary with those of ``ids`` that it lacks, in their order, behind all others: no place
    changes its meaning. What is no template of its own (marks, the overflow template) is left out.

    In histories a fresh key is read as the unknown key was: no output changes. As next key it begins as the mean of
    all keys' output rows, with the least of all biases."""
    fresh = [key for key in dict.fromkeys(ids) if OVERFLOW < key <= LARGEST_ID and key not in vocabulary.keys]
    if not fresh:
        return state, vocabulary
    rows, weight, bias = state["embedding.weight"], state["output.weight"], state["output.bias"]
    number = len(fresh)
    return {
        **state,
        "embedding.weight": np.vstack([rows, np.tile(rows[UNK], (number, 1))]),
        "output.weight": np.vstack([weight, np.tile(weight[EOS:].mean(axis=0), (number, 1))]),
        "output.bias": np.append(bias, np.full(number, bias[EOS:].min(), dtype=np.float32)),
    }, Vocabulary([*vocabulary.keys, *fresh])
