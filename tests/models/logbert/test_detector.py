"""LogBERT's decisions, on a network that is a table: what follows from given logits and distances."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.logbert.detector import LogBERT, LogBERTDistance
from models.logbert.reader import STEP, UNKNOWN_SURPRISAL, Reader
from models.sessions import SEGMENT, Int64
from models.vocabulary import BOS, END, EOS, SPECIALS, UNK, Vocabulary

VOCABULARY = Vocabulary([10, 20, 30])


class Fixed:
    """The same logits (end, 10, 20, 30) at every step; a distance that tells a row's first key; remembers rows."""

    def __init__(self, *logits: float) -> None:
        self.logits = np.array(logits, dtype=np.float32)
        self.rows = 0

    def run(self, *, places: Int64, at: Int64) -> list[NDArray[Any]]:
        self.rows += len(places)
        assert (places[:, 0] == BOS).all()
        return [np.tile(self.logits, (*at.shape, 1)), places[:, 1].astype(np.float32)]


def detector(*logits: float, g: int = 2, end: bool = True) -> tuple[LogBERT, Fixed]:
    network = Fixed(*logits)
    return LogBERT(Reader(VOCABULARY, 2, end, network), g), network


def session(*keys: int) -> Int64:
    return np.array(keys, dtype=np.int64)


def shares(logbert: LogBERT, *sessions: Int64) -> list[float]:
    return [float(np.floor(raw / STEP) * STEP) for raw in logbert.score_sequences(sessions)]


def test_the_share_counts_keys_that_g_others_are_likelier_than() -> None:
    # Ranks: end 0, 10 is 1, 20 is 2, 30 is 3.
    logbert, _ = detector(4.0, 3.0, 2.0, 1.0)
    got = shares(logbert, session(10), session(20), session(10, 20, 30), session(30, 30, 30))
    assert got == pytest.approx([0, 1 / 2, 2 / 4, 3 / 4], abs=STEP)


def test_the_end_counts_only_where_it_is_a_token() -> None:
    sessions = session(10), session(10, 10, 10), np.full(SEGMENT, 10)
    judged, _ = detector(1.0, 4.0, 3.0, 2.0)
    assert shares(judged, *sessions) == pytest.approx([1 / 2, 1 / 4, 0], abs=STEP)
    without, _ = detector(1.0, 4.0, 3.0, 2.0, end=False)
    assert shares(without, *sessions) == pytest.approx([0, 0, 0], abs=STEP)


def test_ties_share_the_better_rank() -> None:
    logbert, _ = detector(5.0, 3.0, 3.0, 3.0)
    assert shares(logbert, session(10, 20, 30)) == pytest.approx([0], abs=STEP)


def test_an_unknown_key_is_anomalous_at_any_g() -> None:
    logbert, _ = detector(0.0, 0.0, 0.0, 0.0, g=4)
    assert shares(logbert, session(10, 77), session(77), session(0)) == pytest.approx([1 / 3, 1 / 2, 1 / 2], abs=STEP)
    scores = logbert.reader.keys([session(77)])
    assert scores.rank.tolist() == [VOCABULARY.size, 0]
    assert scores.surprisal.tolist() == pytest.approx([UNKNOWN_SURPRISAL, np.log(4)])


def test_among_equal_shares_the_less_likely_session_is_stranger_and_the_share_can_be_read_off() -> None:
    logbert, _ = detector(9.0, 8.0, 2.0, -3.0)
    likely, unlikely, worst = logbert.score_sequences([session(20, 10), session(30, 10), session(99, 10)])
    assert 1 / 3 <= likely < unlikely < worst < 1 / 3 + STEP
    every = logbert.score_sequences([np.full(SEGMENT, 99), np.append(np.full(SEGMENT - 1, 99), 10)])
    assert every[0] < 1 + STEP
    assert every[1] < every[0] - STEP / 2


def test_equal_sessions_are_read_once_and_order_is_kept() -> None:
    logbert, network = detector(4.0, 3.0, 2.0, 1.0)
    sessions = [session(20, 30), session(10), session(20, 30), session(77, 10), session(78, 10), session(10)]
    raws = logbert.score_sequences(sessions)
    assert network.rows == 3 * 2
    alone = [float(logbert.score_sequences([one])[0]) for one in sessions]
    assert raws.tolist() == alone


def test_a_long_session_gets_its_strangest_segment() -> None:
    logbert, _ = detector(4.0, 3.0, 2.0, 1.0)
    long = np.full(2 * SEGMENT + 3, 10)
    long[SEGMENT + 5] = 30
    expected = logbert.score_sequences([long[SEGMENT : 2 * SEGMENT]])
    assert logbert.score_sequences([long]).tolist() == expected.tolist()
    assert expected[0] >= 1 / SEGMENT
    told = logbert.explain(long)
    assert told["keys"][0]["position"] == SEGMENT + 5
    assert (told["anomalous_keys"], told["judged_keys"]) == (1, SEGMENT)


def test_a_hundred_thousand_events_are_judged() -> None:
    logbert, network = detector(4.0, 3.0, 2.0, 1.0)
    assert not np.isnan(logbert.score_sequences([np.full(100_000, 10)])).any()
    # All full segments are equal.
    assert network.rows == 2 * 2


def test_nothing_to_judge_gives_nothing() -> None:
    logbert, network = detector(4.0, 3.0, 2.0, 1.0)
    assert logbert.score_sequences([]).tolist() == []
    raws = logbert.score_sequences([session(), session(10)])
    assert np.isnan(raws).tolist() == [True, False]
    assert network.rows == 2


def test_the_distance_is_in_units_of_the_mean() -> None:
    distance = LogBERTDistance(Reader(VOCABULARY, 2, True, Fixed(0, 0, 0, 0), scale=0.5), 2)
    raws = distance.score_sequences([session(10, 20), session(30), session(77)])
    assert raws.tolist() == [SPECIALS / 0.5, (SPECIALS + 2) / 0.5, UNK / 0.5]


def test_explanation_tells_both_scores_and_the_least_likely_keys() -> None:
    logits = np.array([4.0, 3.0, 2.0, 1.0])
    logbert, _ = detector(*logits)
    told = logbert.explain(session(10, 30, 77))
    assert (told["anomalous_keys"], told["judged_keys"], told["share"]) == (2, 4, 0.5)
    assert (told["distance"], told["g"]) == (SPECIALS, 2)
    unknown, strange, *_, end = told["keys"]
    assert (unknown["template_id"], unknown["position"], unknown["rank"], unknown["probability"]) == (77, 2, None, None)
    assert (strange["template_id"], strange["position"], strange["rank"]) == (30, 1, 3)
    probability = np.exp(logits) / np.exp(logits).sum()
    assert strange["probability"] == pytest.approx(probability[3], abs=1e-6)
    assert [one["template_id"] for one in strange["expected"]] == [END, 10, 20, 30]
    assert [one["probability"] for one in strange["expected"]] == pytest.approx(probability, abs=1e-6)
    assert (end["template_id"], end["position"]) == (END, 3)
    assert LogBERTDistance(logbert.reader, 2).explain(session(10, 30, 77)) == told
    assert EOS == SPECIALS - 1  # the first logit is that of the end
