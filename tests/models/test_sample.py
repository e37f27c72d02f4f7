"""The sample of training windows in a bundle: read back, refused, and known by heart."""

import io
import logging
from typing import Any

import numpy as np
import pytest

from models.errors import BundleError
from models.members.event import Observed
from models.sample import REPLAY, Sample, warm
from models.sessions import Int64
from models.vocabulary import END
from models.windows import Windows
from tests.service.serving import blocks_bundle
from training.rehearsal import sample_windows

SESSIONS = [np.array(keys) for keys in ([1, 2, 3], [1, 2, 3], [1, 3, 2, 2])]


def packed(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def observed(history: Int64, key: Int64) -> Observed:
    nothing = np.arange(len(key))
    return Observed(Windows(history, nothing, nothing, np.zeros(len(key))), key)


def test_what_training_kept_is_read_back() -> None:
    sample = Sample.read(sample_windows(SESSIONS, 2, 0))
    found = {
        (*history, key): count
        for history, key, count in zip(sample.history.tolist(), sample.key.tolist(), sample.count.tolist(), strict=True)
    }
    assert found == {
        (-1, -1, 1): 3, (-1, 1, 2): 2, (1, 2, 3): 2, (2, 3, END): 2, (-1, 1, 3): 1, (1, 3, 2): 1, (3, 2, 2): 1,
        (2, 2, END): 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04 and no more",
        packed(history=np.zeros((2, 3)), key=np.zeros(2)),
        packed(history=np.zeros((2, 3)), key=np.zeros(1), count=np.zeros(2)),
        packed(history=np.zeros(2), key=np.zeros(2), count=np.zeros(2)),
        packed(history=np.array([["a"]]), key=np.zeros(1), count=np.zeros(1)),
    ],
)
def test_damaged_samples_are_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match=REPLAY):
        Sample.read(data)


def test_a_judge_asks_its_networks_for_no_window_of_the_sample_again(caplog: pytest.LogCaptureFixture) -> None:
    bundle = blocks_bundle()
    cold, warmed = bundle.judge(), bundle.judge()
    warm(warmed, bundle.files)
    sample = Sample.read(bundle.files[REPLAY])
    line = sample.key != END
    events = observed(sample.history[line], sample.key[line])
    deeplog = {judge: next(m for m in judge.events if m.name == "deeplog") for judge in (cold, warmed)}
    assert deeplog[warmed].take_counts() == (0, 0)
    raws = {judge: member.score(events) for judge, member in deeplog.items()}
    assert (raws[cold] == raws[warmed]).all()
    assert deeplog[cold].take_counts() == (0, len(events.key))
    assert deeplog[warmed].take_counts() == (len(events.key), 0)
    ends = sample.history[~line]
    assert len(ends)
    assert (deeplog[cold].score_ends(ends) == deeplog[warmed].score_ends(ends)).all()
    assert deeplog[warmed].take_counts() == (len(ends), 0)
    assert not caplog.records


def test_without_a_sample_that_can_be_read_a_judge_begins_cold(caplog: pytest.LogCaptureFixture) -> None:
    bundle = blocks_bundle()
    for files, said in (({}, 0), ({REPLAY: b"torn"}, 1)):
        judge = bundle.judge()
        with caplog.at_level(logging.WARNING, "tocsin"):
            warm(judge, files)
        assert len(caplog.records) == said
        member = next(m for m in judge.events if m.name == "deeplog")
        sample = Sample.read(bundle.files[REPLAY])
        member.score(observed(sample.history[:5], sample.key[:5]))
        assert member.take_counts()[1] == 5
