"""How many strange terms an entity wrote in a timeframe, as one number.

Owns terms, their entropy weights, and the score of one entity in one frame. Does not know rows, networks nor time.

For term t of an entity seen in M frames of training, tf_tj times in frame j:

* ``p_tj = tf_tj / sum_j tf_tj``;
* ``e_t = 1 + (1 / log2 M) * sum_j p_tj log2 p_tj``: 1 where the term came in one frame only, 0 where it is spread
  evenly over all of them; 1 for a term that training did not see, and for all terms of an entity seen in one frame;
* ``S = sqrt(sum_t (log2(1 + tf_t) * e_t)^2)`` over the terms of the frame.
"""

import math
import re
from collections.abc import Iterable, Mapping

LONGEST = 64
"""Characters of a term; what follows is cut off."""
DECIMALS = 6
"""Of a weight: below it lies rounding, which a scaler would stretch into differences."""

_MASK = re.compile(r"<[A-Z][A-Z0-9_]{0,31}>")
_PUNCTUATION = str.maketrans("", "", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")

Terms = Mapping[str, int]
"""Term -> how often."""
Weights = dict[str, float]
"""Term -> e_t, of the terms that came in more than one frame; any other term weighs 1."""


def terms_of(masked: str) -> dict[str, int]:
    """Terms of one masked message in order of first appearance, and how often each comes in it.

    Terms are lower-case, cut at white space, ASCII punctuation taken out of them. The name of a mask is a term of its
    own, written as the mask is (``<NUM>``), so that it is no word: how many numbers or addresses a program writes says
    something, and a message of parameters alone is not invisible.
    """
    found: dict[str, int] = {}
    start = 0
    for mask in _MASK.finditer(masked):
        _count_words(masked[start : mask.start()], found)
        name = mask.group()
        found[name] = found.get(name, 0) + 1
        start = mask.end()
    _count_words(masked[start:], found)
    return found


def fit_weights(frames: Iterable[Mapping[str, Terms]]) -> dict[str, Weights]:
    """Weights of each entity's terms from the normal frames of training, each ``{entity: {term: count}}``.

    An entity's M is the number of frames that it is in.
    """
    seen: dict[str, int] = {}
    sums: dict[str, dict[str, list[float]]] = {}
    for frame in frames:
        for entity, terms in frame.items():
            seen[entity] = seen.get(entity, 0) + 1
            own = sums.setdefault(entity, {})
            for term, count in terms.items():
                sum_ = own.setdefault(term, [0.0, 0.0, 0.0])
                sum_[0] += 1
                sum_[1] += count
                sum_[2] += count * math.log2(count)
    return {entity: _weights(own, seen[entity]) for entity, own in sums.items()}


def score(terms: Terms, weights: Mapping[str, float]) -> float:
    """S of one entity in one frame; 0.0 without terms."""
    return math.sqrt(math.fsum(part * part for part in contributions(terms, weights).values()))


def contributions(terms: Terms, weights: Mapping[str, float]) -> dict[str, float]:
    """``log2(1 + tf_t) * e_t`` of each term."""
    return {term: math.log2(1 + count) * weights.get(term, 1.0) for term, count in terms.items()}


def _count_words(text: str, found: dict[str, int]) -> None:
    for word in text.translate(_PUNCTUATION).lower().split():
        term = word[:LONGEST]
        found[term] = found.get(term, 0) + 1


def _weights(sums: Mapping[str, list[float]], frames: int) -> Weights:
    # sum_j p log2 p = (sum_j tf log2 tf) / T - log2 T, where T = sum_j tf.
    weights = {
        term: round(1.0 + (logs / total - math.log2(total)) / math.log2(frames), DECIMALS)
        for term, (chunks, total, logs) in sums.items()
        if chunks > 1
    }
    return {term: min(1.0, max(0.0, weight)) for term, weight in weights.items()}
