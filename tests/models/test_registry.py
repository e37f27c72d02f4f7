"""Detectors read back from a bundle's files, and what is said where something of them is missing or damaged."""

from collections.abc import Callable

import numpy as np
import orjson
import pytest

from models.baselines.length import Length
from models.baselines.new_event import NewEvent
from models.ensemble import Ensemble
from models.errors import BundleError
from models.judge import Judge
from models.members.event import Observed
from models.registry import (
    DEFAULT,
    DETECTORS,
    END_MEMBERS,
    ENSEMBLE,
    EVENT_MEMBERS,
    PLACES,
    graph_file,
    load_judge,
    state_file,
)
from models.windows import Windows

Files = dict[str, bytes]


@pytest.fixture
def files() -> Files:
    quiet = np.zeros(100)
    return {
        "new_event.json": orjson.dumps(NewEvent(np.array([1, 2])).to_dict()),
        "length.json": orjson.dumps(Length(2, 5).to_dict()),
        ENSEMBLE: orjson.dumps(Ensemble.fit({"new_event": quiet, "length": quiet}).to_dict()),
    }


def load(files: Files, *detectors: str) -> Judge:
    return load_judge({name: {} for name in detectors}, files, "cpu", 1, str)


def test_judge_has_the_members_and_the_vocabulary_of_the_files(files: Files) -> None:
    judge = load(files, "length", "new_event")
    assert [detector.name for detector in (*judge.events, *judge.sessions)] == ["new_event", "length"]
    assert (judge.known, judge.provider) == ({1, 2}, "cpu")
    windows = Windows(np.empty((2, 0), dtype=np.int64), np.arange(2), np.arange(2), np.zeros(2))
    rows = judge.rows(Observed(windows, np.array([1, 7])))
    assert rows.anomalous.tolist() == [False, True]


def test_a_member_has_the_same_place_whatever_else_is_in_the_bundle(files: Files) -> None:
    """Peaks in Redis name members by their place: it outlives a version."""
    judge = load(files, "length", "new_event")
    assert {member.name: member.place for member in (*judge.events, *judge.sessions)} == {"new_event": 0, "length": 2}
    assert list(PLACES)[:4] == ["new_event", "deeplog", "length", "count_vector"]
    assert set(EVENT_MEMBERS) | set(END_MEMBERS) == set(PLACES)
    assert set(DEFAULT) <= set(DETECTORS)


def test_a_member_outside_the_ensemble_is_a_witness(files: Files) -> None:
    files[ENSEMBLE] = orjson.dumps(Ensemble.fit({"new_event": np.zeros(100)}).to_dict())
    judge = load(files, "new_event", "length")
    assert [member.name for member in judge.sessions] == ["length"]
    assert set(judge.ensemble.calibrations) == {"new_event"}


def test_unknown_detector_asks_for_an_upgrade(files: Files) -> None:
    with pytest.raises(BundleError, match=r"'oracle' is not known.*upgrade"):
        load(files, "new_event", "oracle")


@pytest.mark.parametrize("name", ["new_event.json", "length.json", ENSEMBLE])
def test_missing_file_is_named(files: Files, name: str) -> None:
    del files[name]
    with pytest.raises(BundleError, match=rf"lacks '{name}'.*train it again"):
        load(files, "new_event", "length")


@pytest.mark.parametrize("name", ["new_event.json", "length.json", ENSEMBLE])
@pytest.mark.parametrize(
    "content", [b"not json", b"[1]", b"7", b"{}", b"null", b'{"known": "x", "members": [], "shortest": {}}']
)
def test_damaged_state_is_refused(files: Files, name: str, content: bytes) -> None:
    files[name] = content
    with pytest.raises(BundleError, match="restore"):
        load(files, "new_event", "length")


def test_ensemble_of_other_members_is_refused(files: Files) -> None:
    with pytest.raises(BundleError, match="fitted on"):
        load(files, "new_event")


def test_graph_that_is_none_is_refused(files: Files) -> None:
    files[graph_file("deeplog")] = b"no graph"
    with pytest.raises(BundleError, match="cannot be loaded"):
        load_judge({"new_event": {}, "deeplog": {"vocabulary": {"keys": [1, 2]}}}, files, "cpu", 1, str)


def test_files_of_a_bundle_are_told_by_the_detector(files: Files) -> None:
    assert {state_file(name) for name in ("new_event", "length")} < files.keys()
    assert len(set(DETECTORS)) == len(DETECTORS)


@pytest.fixture
def unpickled(monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    called: list[object] = []
    monkeypatch.setattr("pickle.load", called.append)
    monkeypatch.setattr("pickle.loads", called.append)
    return lambda: bool(called)


def test_nothing_is_unpickled(files: Files, unpickled: Callable[[], bool]) -> None:
    files["length.json"] = b"\x80\x04cos\nsystem\n."
    with pytest.raises(BundleError):
        load(files, "new_event", "length")
    assert not unpickled()
