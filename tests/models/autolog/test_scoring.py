"""Terms, entropy weights and scores follow the formulas, whatever a log holds."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.autolog.frames import OTHER
from models.autolog.scoring import LONGEST, contributions, fit_weights, score, terms_of


def test_terms_are_lower_case_words_without_punctuation_and_mask_names_stay_apart() -> None:
    assert terms_of("Parity ERROR, parity; num=<NUM>:<NUM> core.2275 don't") == {
        "parity": 2, "error": 1, "num": 1, "<NUM>": 2, "core2275": 1, "dont": 1,
    }  # fmt: skip
    assert terms_of("<num> <N UM> a<HEX>b") == {"num": 1, "n": 1, "um": 1, "a": 1, "<HEX>": 1, "b": 1}
    assert terms_of("") == terms_of(" .,;-- \t") == {}
    assert terms_of("x" * 500) == {"x" * LONGEST: 1}


@given(st.text())
def test_terms_of_any_text_have_no_blank_and_are_not_taken_for_what_is_too_many(message: str) -> None:
    for term, count in terms_of(message).items():
        assert term
        assert count > 0
        assert len(term.split()) == 1
        assert term != OTHER


def test_weight_is_one_for_a_term_of_one_frame_and_zero_for_one_spread_evenly() -> None:
    frames = [{"a": {"even": 3, "skewed": 1 + 9 * (j == 0)}} for j in range(4)]
    frames[2]["a"]["once"] = 7
    weights = fit_weights(frames)["a"]
    shares = np.array([10, 1, 1, 1]) / 13
    assert "once" not in weights
    assert weights["even"] == 0.0
    assert weights["skewed"] == pytest.approx(1 + (shares * np.log2(shares)).sum() / math.log2(4), abs=1e-6)


def test_frames_without_the_entity_are_none_of_its_frames() -> None:
    weights = fit_weights([{"a": {"t": 1}}, {"b": {"t": 1}}, {}, {"a": {"t": 1}}])
    assert weights == {"a": {"t": 0.0}, "b": {}}


@given(st.lists(st.dictionaries(st.sampled_from("tuvw"), st.integers(1, 10**6), min_size=1), min_size=2, max_size=8))
@settings(max_examples=60)
def test_weights_are_the_formula(frames: list[dict[str, int]]) -> None:
    weights = fit_weights([{"a": frame} for frame in frames])["a"]
    for term in {term for frame in frames for term in frame}:
        counts = np.array([frame[term] for frame in frames if term in frame], dtype=np.float64)
        p = counts / counts.sum()
        expected = 1.0 + float((p * np.log2(p)).sum()) / math.log2(len(frames))
        assert weights.get(term, 1.0) == pytest.approx(expected, abs=1e-6)


def test_score_is_the_root_of_the_squared_contributions_and_unseen_terms_weigh_one() -> None:
    weights = {"seen": 0.25, "even": 0.0}
    terms = {"seen": 7, "even": 1000, "unseen": 1}
    assert contributions(terms, weights) == {"seen": 0.75, "even": 0.0, "unseen": 1.0}
    assert score(terms, weights) == pytest.approx(1.25)
    assert score({}, weights) == 0.0
    assert math.isfinite(score({"t": 2**62}, {}))
