"""Batches joined for the spool: what is kept of them is what is kept of each."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from polars.testing import assert_frame_equal

from models.bundle import Bundle
from models.judge import NO_RULES
from models.members.event import Observed
from models.windows import Windows
from service.pipeline.seen import Seen
from service.spool.gathering import Gathering, Kind
from service.spool.joining import joined
from tests.golden import blocks
from tests.service.serving import NOW, blocks_bundle, every_kind_bundle
from training.stream import Stream


def batches(bundle: Bundle, size: int, silenced: Mapping[int, str]) -> list[Seen]:
    """The golden log in batches of ``size`` lines, in each of which rules silenced the same places."""
    stream, log, found = Stream(bundle), blocks.golden_log(), []
    for start in range(0, len(log), size):
        batch = stream.feed(log[start : start + size], NOW)
        rows = Observed(batch.windows, batch.events.key[batch.windows.row], batch.texts)
        assert batch.judged.rows is not None
        quiet = {at: rule for at, rule in silenced.items() if at < len(rows.key)}
        judged = replace(batch.judged, rows=replace(batch.judged.rows, silenced=quiet))
        tail = bundle.manifest.session.tail
        found.append(Seen(bundle.source.name, bundle.version, "t", stream.judge, tail, rows, judged, NO_RULES, NOW))
    return found


def gathered(seen: Iterable[Seen]) -> Gathering:
    taken = list(seen)
    gathering = Gathering(Kind.of(taken[0]), 0.0)
    for one in taken:
        gathering.add(one)
    return gathering


@pytest.mark.parametrize("bundle_of", [blocks_bundle, every_kind_bundle])
def test_joined_batches_leave_what_each_would(bundle_of: Callable[[], Bundle]) -> None:
    single = [one for one in batches(bundle_of(), 7, {0: "a", 3: "b"}) if len(one.rows.key)]
    [together] = joined(single)
    assert len(together.rows.key) == sum(len(one.rows.key) for one in single)
    each, all_at_once = gathered(single).columns(), gathered([together]).columns()
    assert list(each) == list(all_at_once)
    assert each["rows"]["silenced"].any()
    for what, frame in each.items():
        assert_frame_equal(all_at_once[what], frame)


def test_what_another_version_judged_and_sweeps_stay_by_themselves() -> None:
    first, second, third, *_ = [one for one in batches(blocks_bundle(), 20, {}) if len(one.rows.key)]
    nothing = np.empty(0, dtype=np.int64)
    sweep = replace(second, rows=Observed(Windows.none(second.rows.windows.history.shape[1]), nothing))
    other = replace(third, version="2", judge=blocks_bundle().judge())
    assert list(joined([first, sweep, second, other])) == [first, sweep, second, other]
    assert [len(one.rows.key) for one in joined([first, second, sweep])] == [
        len(first.rows.key) + len(second.rows.key),
        0,
    ]
    assert list(joined([])) == []
