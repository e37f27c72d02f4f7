import time

import pytest

from models.errors import DataError
from models.source.config import Source
from service.demo.comparison import Comparison
from service.demo.sample import later_part
from service.demo.stated import Stated
from service.replay.tally import Tally


@pytest.fixture(scope="module")
def source() -> Source:
    return Source.load("postgres")


def test_only_sessions_that_begin_in_the_later_part_count(source: Source) -> None:
    part = later_part(source, 0.6, time.time())
    sent = set(part.records.session.to_list())
    assert set(part.counted) < sent
    assert len(sent) - len(part.counted) == part.straddling > 0
    assert part.lines[0].split(" ")[4] == part.counted[0]
    assert set(part.counted) <= set(part.labels.anomalous)


def test_faults_are_all_in_the_later_part(source: Source) -> None:
    part = later_part(source, 0.6, time.time())
    faulty = {session for session, anomalous in part.labels.anomalous.items() if anomalous}
    assert faulty <= set(part.counted)


def test_bundle_that_saw_the_whole_sample_has_nothing_to_show(source: Source) -> None:
    with pytest.raises(DataError, match="whole sample"):
        later_part(source, 1.0, time.time())


def test_grep_looks_at_every_line_of_a_session(source: Source) -> None:
    part = later_part(source, 0.6, time.time())
    session = ""
    expected = set()
    for line in part.lines:
        session = session if line.startswith("\t") else line.split(" ")[4]
        if "ERROR" in line or "FATAL" in line:
            expected.add(session)
    assert part.grep == expected


def test_missed_figures_are_told_one_by_one(source: Source) -> None:
    part = later_part(source, 0.6, time.time())
    faulty = [s for s in part.counted if part.labels.anomalous[s]]
    normal = [s for s in part.counted if not part.labels.anomalous[s]]
    perfect = Comparison.of(part, Tally(rang=set(faulty)))
    kinds = len(set(part.labels.kind.values()))
    assert perfect.missed(Stated(recall=1.0, kinds=kinds, false_alarms=0)) == []
    noisy = Comparison.of(part, Tally(rang={faulty[0], *normal[:3]}))
    reasons = noisy.missed(Stated(recall=0.5, kinds=2, false_alarms=2))
    assert len(reasons) == 3
    assert "recall is" in reasons[0]
    assert "1 kinds of fault" in reasons[1]
    assert "3 false alarms" in reasons[2]


def test_new_event_alone_is_judged_by_novel_lines(source: Source) -> None:
    part = later_part(source, 0.6, time.time())
    faulty = [s for s in part.counted if part.labels.anomalous[s]]
    found = Comparison.of(part, Tally(rang=set(faulty), novel=set(faulty[:4]))).new_event
    assert (found.counts.tp, found.counts.fp) == (4, 0)
