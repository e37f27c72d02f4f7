"""AutoLog's row, raw outputs, explanations and bundle parts, with a network that anybody can compute."""

from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest
from numpy.typing import NDArray

from models.autolog.detector import LARGEST, NEW_ENTITY, AutoLog
from models.autolog.entity import EntityRule
from models.autolog.frames import Frame
from models.autolog.judge import FrameJudge
from models.autolog.layout import Layout
from models.calibration import Calibration
from models.errors import BundleError
from models.finding import frame_verdicts
from models.rules import Clause, Rule, Rules

WEIGHTS = {"web": {"get": 0.5, "ok": 0.0}, "db": {"select": 1.0}}


class Expecting:
    """Gives every row back as ``expected``, with the plain squared error."""

    def __init__(self, *expected: float) -> None:
        self.expected = np.array(expected, dtype=np.float32)

    def run(self, *, scores: NDArray[np.float32]) -> list[NDArray[Any]]:
        with np.errstate(over="ignore"):
            errors = (scores - self.expected) ** 2
        return [errors.mean(axis=1), errors, np.broadcast_to(self.expected, scores.shape)]


def autolog(*expected: float) -> AutoLog:
    return AutoLog(Layout(300.0, EntityRule("host")), WEIGHTS, Expecting(*expected))


def test_row_has_a_score_for_each_known_entity_by_name_and_zero_for_a_silent_one() -> None:
    detector = autolog(0.0, 0.0)
    assert detector.entities == ("db", "web")
    rows = detector.rows([{"web": {"get": 3, "ok": 500}}, {}, {"db": {"select": 1, "odd": 3}}])
    assert rows.dtype == np.float32
    assert rows.tolist() == [[0.0, 1.0], [0.0, 0.0], [pytest.approx(5.0**0.5), 0.0]]


def test_raw_is_the_error_of_the_row_and_a_new_entity_stands_above_all() -> None:
    detector = autolog(1.0, 1.0)
    raw = detector.score_frames([{}, {"db": {"select": 1}}, {"db": {"select": 1}, "mail": {}}])
    assert raw.dtype == np.float64
    assert raw.tolist() == [1.0, 0.5, NEW_ENTITY]
    assert detector.score_frames([]).tolist() == []
    assert autolog(1e30, np.nan).score_frames([{}]).tolist() == [LARGEST]
    assert autolog(1e30, 0.0).score_frames([{}]).tolist() == [LARGEST]


def test_explanation_names_entities_their_terms_and_what_was_expected() -> None:
    because = autolog(2.0, 1.0).explain({"web": {"get": 3, "ok": 9, "odd": 1}, "mail": {"spam": 7}})
    assert because["new_entity_count"] == 1
    assert because["new_entities"] == [
        {"entity": "mail", "score": 3.0, "terms": [{"term": "spam", "count": 7, "weight": 1.0}]}
    ]
    silent, web = because["entities"]
    assert (silent["entity"], silent["score"], silent["expected"], silent["terms"]) == ("db", 0.0, 2.0, [])
    assert web["score"] == pytest.approx(2.0**0.5)
    assert [term["term"] for term in web["terms"]] == ["get", "odd", "ok"]
    assert silent["share"] + web["share"] == pytest.approx(1.0)
    assert silent["share"] > 0.9
    orjson.dumps(autolog(np.inf, np.nan).explain({}))
    assert autolog(0.0, 0.0).explain({})["entities"][0]["share"] == 0.0


def test_scoring_changes_nothing() -> None:
    detector = autolog(1.0, 1.0)
    state = detector.to_json()
    frame = {"web": {"odd": 3}, "mail": {"spam": 1}}
    first = detector.score_frames([frame])
    detector.explain(frame)
    assert detector.to_json() == state
    assert detector.score_frames([{}, frame])[1:].tolist() == first.tolist()


class Exported(Expecting):
    """With the metadata of a graph."""

    def __init__(self, fingerprint: str) -> None:
        super().__init__(1.0, 1.0)
        self.metadata = {"entities": fingerprint}


def test_state_reads_back_and_damage_is_refused() -> None:
    detector = autolog(1.0, 1.0)
    graph: Any = Exported(detector.fingerprint())
    back = AutoLog.from_graph(detector.to_json(), graph)
    assert back.to_json() == detector.to_json()
    assert (back.chunk_s, back.entities) == (300.0, ("db", "web"))
    assert back.entity(pl.DataFrame({"host": ["a"]})).to_list() == ["a"]
    assert back.terms("Up <NUM>") == {"up": 1, "<NUM>": 1}
    other: Any = Exported("of another")
    with pytest.raises(BundleError, match="other entities"):
        AutoLog.from_graph(detector.to_json(), other)
    state = orjson.loads(detector.to_json())
    damaged: list[dict[str, Any]] = [
        {"chunk_s": "x"}, {"chunk_s": 0.0}, {"chunk_s": None}, {"weights": {}}, {"weights": {"web": [1]}},
        {"weights": {"web": {"get": "x"}}}, {"entity_pattern": "("},
    ]  # fmt: skip
    for change in damaged:
        with pytest.raises(BundleError, match="autolog"):
            AutoLog.from_graph(orjson.dumps({**state, **change}), graph)
    for text in (b"", b"[]", b"{}"):
        with pytest.raises(BundleError, match="damaged"):
            AutoLog.from_graph(text, graph)


def judge(threshold: float = 2.0) -> FrameJudge:
    return FrameJudge(autolog(1.0, 1.0), Calibration.fit([0.0, 0.5, 0.9, 1.0]), threshold)


NORMAL = Frame(7, 1, {"db": {"select": 1}})
LOUD = Frame(8, 9, {"db": {"select": 255}})
NEW = Frame(9, 1, {"mail": {"spam": 1}})


def test_judge_rings_from_the_threshold_on_and_says_why() -> None:
    judgement = judge().judge([NORMAL, LOUD, NEW])
    assert judgement.raw.tolist() == [0.5, 25.0, NEW_ENTITY]
    assert judgement.score.tolist() == [0.25, 1.0, 1.0]
    assert judgement.anomalous.tolist() == [False, True, True]
    assert set(judgement.ringing) == {1, 2}
    assert judgement.ringing[1].because["lines"] == 9
    assert judge(25.0).judge([LOUD]).anomalous.tolist() == [True]


def test_rule_silences_the_same_entities_up_to_an_error_until_it_expires() -> None:
    found = judge().judge([LOUD]).ringing[0].clause
    rules = Rules([Rule("r", (Clause("autolog", "timeframe", found.match, 0.0, 30.0),), expires=100.0)])
    quiet = judge().judge([LOUD, NEW], rules, now=99.0)
    assert quiet.anomalous.tolist() == [False, True]
    assert quiet.silenced == {0: "r"}
    assert judge().judge([LOUD], rules, now=100.0).anomalous.tolist() == [True]
    louder = Frame(8, 9, {"db": {"select": 4095}})
    assert judge().judge([louder], rules, now=0.0).anomalous.tolist() == [True]


def test_verdicts_of_frames_and_one_incident_a_day_for_the_same_entities() -> None:
    again, next_day = Frame(10, 9, LOUD.counts), Frame(8 + 288, 9, LOUD.counts)
    frames = [NORMAL, LOUD, NEW, again, next_day]
    verdicts, findings = frame_verdicts("s", frames, 300.0, judge().judge(frames), "autolog")
    assert [v["anomalous"] for v in verdicts] == [False, True, True, True, True]
    assert verdicts[0] == {
        "index": None, "kind": "timeframe", "session": "1970-01-01T00:35:00Z/300s", "template_id": None,
        "template": None, "novel": False, "anomalous": False, "score": 0.25, "state": "scored", "incident": None,
        "reasons": [],
    }  # fmt: skip
    incidents = [v["incident"] for v in verdicts[1:]]
    assert incidents[0] == incidents[2]
    assert len(set(incidents)) == 3
    assert [(f.started, f.time, f.window, f.row) for f in findings[:1]] == [(2400.0, 2700.0, (), None)]
    assert findings[0].cause == findings[3].cause != findings[1].cause
    (reason,) = verdicts[1]["reasons"]
    assert (reason["detector"], reason["raw"], reason["share"]) == ("autolog", 25.0, 1.0)
    assert reason["entities"][0]["entity"] == "db"
    orjson.dumps(verdicts)


def test_verdicts_say_which_rule_silenced_a_frame_and_that_a_source_learns() -> None:
    found = judge().judge([LOUD]).ringing[0].clause
    rules = Rules([Rule("r", (found,))])
    (verdict,), findings = frame_verdicts("s", [LOUD], 300.0, judge().judge([LOUD], rules), "autolog")
    assert (verdict["state"], verdict.get("rule"), verdict["anomalous"], findings) == ("silenced", "r", False, [])
    (verdict,), findings = frame_verdicts("s", [LOUD], 300.0, None, "autolog")
    assert (verdict["state"], verdict["score"], findings) == ("learning", 0.0, [])
