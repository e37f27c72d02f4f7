"""What a detector saw is enough for it to say the same again, after a trip through JSON."""

from collections.abc import Callable

import numpy as np
import orjson
import pytest

from models.bundle import Bundle
from models.errors import DataError
from models.lesson import Lesson
from models.members.event import Observed, ValueMember
from tests.golden import blocks
from tests.service.serving import NOW, blocks_bundle, every_kind_bundle
from training.stream import Batch, Stream


def whole(stream: Stream) -> list[Batch]:
    return [stream.feed(blocks.golden_log(), NOW), stream.close()]


def kept(lesson: Lesson) -> Lesson:
    return Lesson.from_dict(orjson.loads(orjson.dumps(lesson.to_dict())))


@pytest.mark.parametrize("bundle", [every_kind_bundle, blocks_bundle])
def test_events_get_the_same_raw_outputs_from_what_their_members_saw(bundle: Callable[[], Bundle]) -> None:
    stream = Stream(bundle())
    batch = whole(stream)[0]
    observed = Observed(batch.windows, batch.events.key[batch.windows.row], batch.texts)
    for member in stream.judge.events:
        raws = member.score(observed)
        at = np.flatnonzero(~np.isnan(raws)).tolist() if isinstance(member, ValueMember) else range(len(raws))
        lessons = [kept(stream.judge.explainer.row_lesson(member.name, observed, i)) for i in at]
        assert len(lessons) > 50
        np.testing.assert_allclose(stream.judge.lesson_raws(lessons), raws[at], rtol=1e-6)


@pytest.mark.parametrize("bundle", [every_kind_bundle, blocks_bundle])
def test_closed_sessions_get_the_same_raw_outputs_from_what_their_members_saw(bundle: Callable[[], Bundle]) -> None:
    stream = Stream(bundle())
    closings = [closing for batch in whole(stream) for closing in batch.judged.closings]
    for member in stream.judge.sessions:
        raws = member.score([closing.state for closing in closings])
        lessons = [stream.judge.explainer.closing_lesson(member.name, closing) for closing in closings]
        assert None not in lessons
        np.testing.assert_allclose(stream.judge.lesson_raws([kept(lesson) for lesson in lessons if lesson]), raws)


def test_evidence_of_an_alarms_lessons_is_that_of_the_alarm() -> None:
    """Of rows, whose evidence is their own; a closed session's also holds what rang before its end."""
    stream = Stream(blocks_bundle())
    batch = whole(stream)[0]
    observed = Observed(batch.windows, batch.events.key[batch.windows.row], batch.texts)
    rows = batch.judged.rows
    assert rows is not None
    rang = np.flatnonzero(rows.anomalous).tolist()
    assert rang
    for at in rang:
        names = [reason.detector for reason in stream.judge.explainer.row_reasons(rows, at, observed)]
        lessons = [kept(stream.judge.explainer.row_lesson(name, observed, at)) for name in names]
        assert stream.judge.lesson_evidence(lessons) == pytest.approx(rows.evidence[at])


def test_timeframes_get_the_same_raw_outputs_from_what_was_seen() -> None:
    bundle = every_kind_bundle()
    stream = Stream(bundle)
    judge = bundle.frame_judge()
    assert judge is not None
    frames = [batch.frames for batch in whole(stream) if batch.frames is not None]
    found = [finding for judged in frames for finding in judged.findings]
    assert found
    lessons = [kept(lesson) for finding in found for lesson in finding.lessons]
    assert judge.lesson_raws(lessons) == pytest.approx([finding.verdict["reasons"][0]["raw"] for finding in found])
    assert np.isnan(stream.judge.lesson_raws(lessons)).all()


@pytest.mark.parametrize("state", [{}, {"detector": 1, "seen": {}}, {"detector": "deeplog", "seen": [1]}])
def test_what_is_no_lesson_is_refused(state: dict[str, object]) -> None:
    with pytest.raises(DataError, match="lesson"):
        Lesson.from_dict(state)
