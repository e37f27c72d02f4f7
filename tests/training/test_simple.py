"""Simple detectors are fitted with honest held-out outputs, and what is served is fitted on all."""

from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest

from models.baselines.count_vector import CountVector
from models.baselines.count_vector_idf import CountVectorIdf
from models.baselines.edit_distance import EditDistance
from models.baselines.length import Length
from models.baselines.new_event import NewEvent
from models.baselines.ngram import Ngram
from models.errors import DataError
from models.sessions import SEGMENT, Int64
from training.member import Corpus, alone, folds
from training.simple import FOLDS, ORDER, SIMPLE, fit_simple, segments

READERS: dict[str, Callable[[Any], Any]] = {
    "new_event": NewEvent.from_dict,
    "length": Length.from_dict,
    "count_vector": CountVector.from_dict,
    "count_vector_idf": CountVectorIdf.from_dict,
    "ngram": Ngram.from_dict,
    "edit_distance": EditDistance.from_dict,
}


def sessions(number: int = 40) -> list[Int64]:
    rng = np.random.default_rng(1)
    return [np.concatenate([[1, 2], rng.integers(3, 7, rng.integers(1, 6)), [8]]) for _ in range(number)]


@pytest.mark.parametrize("name", SIMPLE)
def test_held_out_outputs_are_those_of_fits_without_the_session(name: str) -> None:
    given = sessions()
    fitted = fit_simple(name, Corpus.of_keys(given), seed=3)
    expected = np.full(len(given), np.nan)
    for fit, test in folds(len(given), FOLDS, 3):
        member = SIMPLE[name].fit([given[i] for i in fit], 3)
        expected[test] = SIMPLE[name].raws(member, [given[i] for i in test])

    assert fitted.raws.tolist() == expected.tolist()
    assert fitted.threshold == alone(expected)


@pytest.mark.parametrize("name", SIMPLE)
def test_what_is_served_knows_every_session_and_comes_back_from_its_file(name: str) -> None:
    given = sessions()
    fitted = fit_simple(name, Corpus.of_keys(given), seed=0)
    served = READERS[name](orjson.loads(fitted.files[f"{name}.json"]))
    strange = [np.array([9, 9, 9]), np.arange(1, 60)]

    assert served.name == name == fitted.name
    assert SIMPLE[name].raws(served, given).tolist() == [0.0] * len(given)
    assert SIMPLE[name].raws(served, strange).max() > 0.0
    assert orjson.loads(orjson.dumps(fitted.settings)) == fitted.settings


def test_long_sessions_are_learned_and_judged_in_segments() -> None:
    long = np.tile([1, 2, 3], SEGMENT)
    parts = segments(long)
    fitted = SIMPLE["ngram"].fit([long], 0)

    assert [len(part) for part in parts] == [SEGMENT] * 3
    assert np.concatenate(parts).tolist() == long.tolist()
    # The last segment is strange alone, and one strange segment is enough.
    judged = SIMPLE["ngram"].raws(fitted, [long, np.append(long, [9, 9])])
    assert judged.tolist() == [0.0, 1.0]
    assert Ngram.fit(parts, ORDER).to_dict() == fitted.to_dict()


def test_unknown_names_and_too_little_data_are_refused() -> None:
    with pytest.raises(DataError, match="no simple detector 'deeplog'"):
        fit_simple("deeplog", Corpus.of_keys(sessions()), 0)
    with pytest.raises(DataError, match="edit_distance needs at least 5"):
        fit_simple("edit_distance", Corpus.of_keys(sessions(4)), 0)
