"""What training looked like survives a bundle; bins hold ties, rare and new templates; usual variation is no news."""

import numpy as np
import orjson
import pytest

from models.drift.reference import KEPT, Reference, TemplateBins
from models.drift.stability import psi
from models.drift.window import ENOUGH_LINES, ENOUGH_SESSIONS
from models.sessions import Float64, Int64


def sessions_of(keys: list[int], number: int) -> list[Int64]:
    return [np.array(keys, dtype=np.int64)] * number


def times_of(sessions: list[Int64], step: float = 1.0) -> list[Float64]:
    """Sessions one after the other, ``step`` seconds from event to event."""
    starts = np.cumsum([0, *[len(session) for session in sessions]])
    return [(start + np.arange(len(keys))) * step for start, keys in zip(starts, sessions, strict=False)]


def reference_of(sessions: list[Int64], evidence: Float64 | None = None) -> Reference:
    return Reference.fit(sessions, times_of(sessions), np.zeros(len(sessions)) if evidence is None else evidence)


def test_it_counts_templates_and_travels_as_plain_json() -> None:
    made = reference_of(sessions_of([3, 3, 5], 20), np.arange(20.0))
    assert made.templates == {3: 40, 5: 20}
    assert made.rest == 0
    back = Reference.from_dict(orjson.loads(orjson.dumps(made.to_dict())))
    assert back.to_dict() == made.to_dict()
    assert back.count_scores(np.array([0.0, 99.0])).sum() == 2


def test_only_the_most_frequent_templates_are_kept_one_by_one() -> None:
    keys = np.repeat(np.arange(1, KEPT + 51), np.where(np.arange(1, KEPT + 51) > 50, 2, 1))
    made = reference_of([keys])
    assert len(made.templates) == KEPT
    assert min(made.templates) == 51
    assert made.rest == 50
    # A known template that is not counted by itself is the rest's, and no news.
    bins = TemplateBins(made, range(1, KEPT + 51))
    assert bins.count(np.array([1]))[-2:].tolist() == [1, 0]
    assert bins.psi(bins.count(keys)) == pytest.approx(0.0, abs=1e-12)


def test_ties_of_evidence_share_a_bin() -> None:
    evidence = np.array([0.0] * 93 + [2.0] * 4 + [5.0] * 3)
    made = reference_of(sessions_of([1], 100), evidence)
    assert made.edges.tolist() == [0.0, 2.0, 5.0]
    assert made.shares == pytest.approx([0.93, 0.04, 0.03, 0.0])
    assert made.count_scores(np.array([0.0, 0.0, 1.0, 2.0, 2.1, 5.0, 6.0])).tolist() == [2, 2, 2, 1]
    assert made.score_psi(made.count_scores(evidence)) == pytest.approx(0.0, abs=1e-12)


def test_scores_without_ties_fall_into_deciles() -> None:
    made = reference_of(sessions_of([1], 1000), np.arange(1000.0))
    assert made.shares[:9] == pytest.approx([0.1] * 9)


def test_scores_that_rise_are_a_shift_and_a_few_more_are_not() -> None:
    made = reference_of(sessions_of([1], 1000), np.array([0.0] * 950 + [3.0] * 50))
    few = made.count_scores(np.array([0.0] * 180 + [3.0] * 20))
    many = made.count_scores(np.array([0.0] * 130 + [3.0] * 70))
    assert made.score_psi(few) < 0.1
    assert made.score_psi(many) > 0.25


def test_few_held_out_sessions_do_not_make_a_rare_score_a_shift() -> None:
    live = np.array([0.0] * 190 + [3.0] * 10)
    of_few, of_many = (reference_of(sessions_of([1], number)) for number in (50, 5_000))
    assert of_few.score_psi(of_few.count_scores(live)) < 0.1
    assert of_many.score_psi(of_many.count_scores(live)) > 0.25


def test_rare_templates_share_a_bin_of_neighbours_and_new_ones_have_their_own() -> None:
    keys = np.repeat([1, 2, 3, 4, 5, 6, 7], [9_700, 40, 40, 40, 40, 40, 100])
    made = reference_of([keys])
    bins = TemplateBins(made, frozenset(range(1, 8)))
    # 1 alone, 2 to 4 together, 7 alone, 5 and 6 too few for a bin of their own: the rest; new.
    assert bins.expected.tolist() == [9_700, 120, 100, 80, 0]
    assert bins.count(np.array([1, 2, 3, 4, 5, 6, 7, 8, 0, 10**9])).tolist() == [1, 3, 1, 2, 3]


def test_templates_that_training_did_not_see_raise_psi() -> None:
    made = reference_of(sessions_of([1, 2, 3, 4], 100))
    bins = TemplateBins(made, frozenset({1, 2, 3, 4}))
    as_ever = np.array([1, 2, 3, 4] * 500)
    assert bins.psi(bins.count(as_ever)) == pytest.approx(0.0, abs=1e-12)
    assert bins.psi(bins.count(np.concatenate([as_ever, np.full(200, 77)]))) > 0.25
    assert bins.psi(bins.count(np.array([1] * 1400 + [2, 3, 4] * 200))) > 0.25


def test_many_even_rare_templates_fill_bins_and_hide_no_shift() -> None:
    keys = np.repeat(np.arange(1, 501), 20)
    bins = TemplateBins(reference_of([keys]), frozenset(range(1, 501)))
    assert len(bins.expected) == 102
    assert bins.psi(bins.count(np.random.default_rng(0).permutation(keys)[:5_000])) < 0.1
    assert bins.psi(bins.count(keys[keys <= 250])) > 0.25


def test_a_stream_that_changes_within_training_is_known_to_change() -> None:
    half = ENOUGH_LINES // 4 + 1
    steady = sessions_of([1, 2, 3, 4], 2 * half)
    assert reference_of(steady).usual_templates == pytest.approx(0.0, abs=1e-12)
    by_day, by_night = sessions_of([1, 1, 1, 2], half), sessions_of([2, 2, 2, 1], half)
    made = reference_of(by_day + by_night)
    # The one half against the other, a few lines aside: .75 and .25 are exchanged.
    assert made.usual_templates == pytest.approx(psi([3, 1], [1, 3]), rel=0.02)


def test_stretches_are_an_hour_long_where_an_hour_holds_enough() -> None:
    half = ENOUGH_LINES // 4 + 1
    sessions = sessions_of([1, 1, 1, 2], half) + sessions_of([2, 2, 2, 1], half)
    # So fast that all of it is one hour: nothing to compare.
    assert Reference.fit(sessions, times_of(sessions, 0.01), np.zeros(len(sessions))).usual_templates == 0.0


def test_scores_that_vary_within_training_are_known_to_vary() -> None:
    number = 3 * ENOUGH_SESSIONS
    sessions = [np.array([1], dtype=np.int64)] * number
    times = [np.array([40.0 * at]) for at in range(number)]
    evidence = np.zeros(number)
    evidence[-ENOUGH_SESSIONS:] = np.tile([0.0, 4.0], ENOUGH_SESSIONS // 2)
    assert Reference.fit(sessions, times, evidence).usual_scores > 0.25
    assert Reference.fit(sessions, times, np.tile([0.0, 4.0], number // 2)).usual_scores == pytest.approx(
        0.0, abs=1e-12
    )
