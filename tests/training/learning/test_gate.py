"""What a candidate has to show: a version that is worse in any way is turned back, with the reason."""

from dataclasses import replace

import numpy as np
import orjson
import pytest

from models.bundle import Bundle
from models.lesson import Lesson
from models.members.event import Observed
from models.sessions import Closing, SessionState
from models.spool.reader import Spooled
from tests.golden import blocks
from tests.service.serving import NOW, blocks_bundle
from training.learning.answers import Answer
from training.learning.gate import judge_candidate
from training.learning.traffic import normal_traffic
from training.stream import Stream


def altered(**files: object) -> Bundle:
    """The block store's bundle with other states of some detectors."""
    bundle = blocks_bundle()
    changed = {f"{name}.json": orjson.dumps(state) for name, state in files.items()}
    return Bundle.seal(replace(bundle.manifest, version="2"), {**bundle.files, **changed})


def state(name: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = orjson.loads(blocks_bundle().files[f"{name}.json"])
    return found


def alarm(label: str = "false_positive") -> Answer:
    """What rang first in the golden log, answered."""
    stream = Stream(blocks_bundle())
    batch = stream.feed(blocks.golden_log(), NOW)
    assert batch.judged.rows is not None
    at = int(np.flatnonzero(batch.judged.rows.anomalous)[0])
    observed = Observed(batch.windows, batch.events.key[batch.windows.row])
    names = [reason.detector for reason in stream.judge.explainer.row_reasons(batch.judged.rows, at, observed)]
    lessons = tuple(stream.judge.explainer.row_lesson(name, observed, at) for name in names)
    return Answer("a", label, lessons, frozenset(names))  # type: ignore[arg-type]


def test_the_live_version_itself_passes_where_nothing_is_asked_of_it() -> None:
    live = blocks_bundle()
    gate = judge_candidate(live, live, [])
    assert gate.passed
    held = gate.figures["training windows"]
    assert held["live"] == held["candidate"] < held["events"] / 50
    assert held["events"] > 1_000
    kept = gate.figures["windows kept from teaching"]
    assert 0 < kept["events"] < held["events"] / 2


def test_a_false_alarm_that_still_rings_is_turned_back() -> None:
    live = blocks_bundle()
    gate = judge_candidate(live, live, [alarm()])
    assert not gate.passed
    assert gate.reasons == ("false alarm a still rings",)


@pytest.mark.parametrize("label", ["true_positive", "missed"])
def test_a_protected_case_that_would_fall_silent_is_turned_back(label: str) -> None:
    known = state("new_event")["known"]
    case = Answer("c", label, (Lesson("new_event", {"history": [], "key": 99}),))  # type: ignore[arg-type]
    gate = judge_candidate(blocks_bundle(), altered(new_event={"known": [*known, 99]}), [case])
    assert gate.reasons == ("protected case c would fall silent",)
    assert judge_candidate(blocks_bundle(), altered(new_event={"known": [*known, 98]}), [case]).passed


def test_training_windows_that_would_ring_are_turned_back() -> None:
    known = state("new_event")["known"]
    gate = judge_candidate(blocks_bundle(), altered(new_event={"known": known[1:]}), [])
    assert not gate.passed
    assert "training windows" in gate.reasons[0]


def spooled(counts: dict[int, int], *, silenced: bool) -> Spooled:
    """One closed session that came ten times, silenced by a rule or not."""
    nothing, none = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.bool_)
    tail = tuple(key for key, count in counts.items() for _ in range(count))
    session = Closing("s", SessionState(counts=counts, n=len(tail), tail=tail, started=0.0, last=1.0))
    return Spooled((), [session], nothing, none, none, np.array([10]), np.array([False]), np.array([silenced]))


def test_live_traffic_that_would_ring_is_turned_back() -> None:
    """The candidate forgot the mixes of events that the live version knows."""
    vectors = state("count_vector")
    counts = dict(zip(vectors["keys"][0], vectors["counts"][0], strict=True))  # type: ignore[arg-type]
    forgetful = altered(count_vector={**vectors, "keys": [[99]], "counts": [[1]]})
    gate = judge_candidate(blocks_bundle(), forgetful, [], spooled(counts, silenced=False))
    assert gate.reasons[-1].endswith("10 of 10 would ring, 0 do by the live version")
    assert judge_candidate(blocks_bundle(), forgetful, [], spooled(counts, silenced=True)).passed


def known_counts(number: int = 0) -> dict[int, int]:
    vectors = state("count_vector")
    return dict(zip(vectors["keys"][number], vectors["counts"][number], strict=True))  # type: ignore[arg-type]


def joined(one: Spooled, other: Spooled) -> Spooled:
    return replace(
        one,
        closings=[*one.closings, *other.closings],
        end_counts=np.concatenate([one.end_counts, other.end_counts]),
        end_anomalous=np.concatenate([one.end_anomalous, other.end_anomalous]),
        end_silenced=np.concatenate([one.end_silenced, other.end_silenced]),
    )


def test_an_alarm_that_falls_silent_makes_no_room_for_a_new_one() -> None:
    """As many ring by either version, and not the same."""
    vectors, strange = state("count_vector"), dict.fromkeys(known_counts(), 40)
    other = altered(count_vector={**vectors, "keys": [list(strange)], "counts": [list(strange.values())]})
    assert judge_candidate(blocks_bundle(), other, [], spooled(strange, silenced=False)).passed
    both = joined(spooled(strange, silenced=False), spooled(known_counts(), silenced=False))
    gate = judge_candidate(blocks_bundle(), other, [], both)
    assert gate.reasons[-1].endswith("10 of 10 would ring, 0 do by the live version")


def test_what_teaching_never_saw_is_held_against_a_candidate_too() -> None:
    live = blocks_bundle()
    forgetful = altered(count_vector={**state("count_vector"), "keys": [[99]], "counts": [[1]]})
    every = [spooled(known_counts(number), silenced=False) for number in range(len(state("count_vector")["keys"]))]
    held = [bool(normal_traffic(live.judge(), one, []).held[0]) for one in every]
    assert set(held) == {True, False}
    for at, where in (
        (held.index(True), "spooled sessions kept from teaching"),
        (held.index(False), "spooled sessions"),
    ):
        gate = judge_candidate(live, forgetful, [], every[at])
        assert gate.reasons[-1] == f"{where}: 10 of 10 would ring, 0 do by the live version"


def test_what_an_earlier_version_heard_in_a_session_speaks_for_neither() -> None:
    """Peaks would make the end ring by both versions alike, and hide what the candidate forgot."""
    one = spooled(known_counts(), silenced=False)
    peaks = {member.place: 1e6 for member in blocks_bundle().judge().events}
    loud = replace(one, closings=[replace(closing, peaks=peaks) for closing in one.closings])
    forgetful = altered(count_vector={**state("count_vector"), "keys": [[99]], "counts": [[1]]})
    assert judge_candidate(blocks_bundle(), blocks_bundle(), [], loud).passed
    assert not judge_candidate(blocks_bundle(), forgetful, [], loud).passed


def test_a_session_like_a_confirmed_one_may_ring() -> None:
    counts = known_counts()
    case = Answer("c", "missed", (Lesson("count_vector", {"counts": [[key, n] for key, n in counts.items()]}),))
    forgetful = altered(count_vector={**state("count_vector"), "keys": [[99]], "counts": [[1]]})
    gate = judge_candidate(blocks_bundle(), forgetful, [case], spooled(counts, silenced=False))
    assert not [reason for reason in gate.reasons if reason.startswith("spooled")]
