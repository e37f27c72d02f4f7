"""Verdicts of lines: the same as columns, one by one, and as JSON."""

from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st

from models.judgement import Judgement
from models.parser import Events
from models.verdict import LineVerdicts
from models.windows import Windows

TEXTS = {0: "plain <*>", 1: 'quoted "\\" </script>', 2: "größe \u2028 <NUM>"}
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
ROWS = st.lists(
    st.tuples(
        st.integers(0, 2), NAMES, st.sampled_from([0.0, 0.25, 1 / 3, 1.0]), st.booleans(), st.sampled_from([0, 1, 3])
    ),
    max_size=12,
)
"""Template, session, score, whether it rang, and how many places after the row before it the line stands."""


def laid_out(rows: list[tuple[int, str, float, bool, int]], silenced: dict[int, str]) -> LineVerdicts:
    size = len(rows)
    events = Events(
        np.cumsum([step for *_, step in rows], dtype=np.int64),
        np.arange(size),
        [session for _, session, *_ in rows],
        np.array([key for key, *_ in rows], dtype=np.int64),
        np.zeros(size),
        np.zeros(size, dtype=np.bool_),
    )
    nothing = np.arange(size)
    windows = Windows(np.zeros((size, 0), dtype=np.int64), nothing, nothing, np.zeros(size))
    rang = np.array([rang for *_, rang, _ in rows], dtype=np.bool_)
    rang[list(silenced)] = False
    score = np.array([score for *_, score, _, _ in rows], dtype=np.float64)
    judgement = Judgement({}, np.zeros(size), score, rang, silenced)
    return LineVerdicts(events, windows, judgement, {0, 1}.__contains__, TEXTS.__getitem__)


def read(pieces: list[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = orjson.loads("[" + "".join(pieces) + "]")
    return found


@given(ROWS, st.data())
def test_json_of_any_part_is_that_of_its_verdicts(
    rows: list[tuple[int, str, float, bool, int]], data: st.DataObject
) -> None:
    some: Callable[[], set[int]] = lambda: data.draw(st.sets(st.integers(0, len(rows) - 1))) if rows else set()  # noqa: E731
    silenced = dict.fromkeys(some(), "a rule")
    verdicts = laid_out(rows, silenced)
    for at in some():  # whoever explains one reads it, and leaves it as it is to go out
        verdicts[at]["incident"] = "x"
        verdicts[at]["reasons"] = [{"detector": "somebody", "raw": 1.5}]
    start = data.draw(st.integers(0, 8))
    stop = data.draw(st.integers(start, 40))
    which = verdicts.of_places(start, stop)
    pieces, anomalous = verdicts.encoded(which, start), verdicts.encoded_anomalous(which, start)
    whole = list(verdicts)
    assert whole == verdicts[:] == [verdicts[at] for at in range(len(verdicts))]
    assert [verdict["template_id"] for verdict in whole] == [key for key, *_ in rows]
    assert [verdict["novel"] for verdict in whole] == [key == 2 for key, *_ in rows]
    assert {at for at, verdict in enumerate(whole) if verdict["state"] == "silenced"} == set(silenced)
    expected = [
        {**verdict, "index": place - start}
        for verdict, place in zip(whole, verdicts.places, strict=True)
        if start <= place < stop
    ]
    assert read(pieces) == expected
    assert read(anomalous) == [verdict for verdict in expected if verdict["anomalous"]]


def test_members_stand_in_the_order_in_which_they_are_documented() -> None:
    verdicts = laid_out([(0, "a", 0.5, False, 0), (1, "b", 0.5, True, 1)], {})
    names = ["index", "kind", "session", "template_id", "template", "novel", "anomalous", "score", "state", "incident"]
    for verdict in read(verdicts.encoded(range(2), 0)):
        assert list(verdict) == [*names, "reasons"]
