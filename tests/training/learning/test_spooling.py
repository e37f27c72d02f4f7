"""What a replay puts by is what the service would spool of the same batches."""

from collections.abc import Callable

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from models.bundle import Bundle
from models.judge import NO_RULES, Judge
from models.members.event import Observed
from models.spool.layout import Layout
from models.spool.reader import CLOSINGS, ROWS, TREE, VERSION
from service.pipeline.seen import Seen
from service.spool.gathering import Gathering, Kind
from tests.golden import blocks
from tests.service.serving import NOW, blocks_bundle, every_kind_bundle
from training.desk import Desk
from training.learning.spooling import ReplayedTraffic
from training.operators import Operator
from training.player import Player
from training.stream import Batch, Stream


def seen(bundle: Bundle, judge: Judge, batch: Batch) -> Seen:
    rows = Observed(batch.windows, batch.events.key[batch.windows.row], batch.texts)
    tail = bundle.manifest.session.tail
    return Seen(bundle.source.name, bundle.version, "t", judge, tail, rows, batch.judged, NO_RULES, NOW)


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort(pl.struct(pl.all()).map_elements(repr, return_dtype=pl.String))


def put_by(bundle: Bundle, limit: int = 100_000) -> tuple[ReplayedTraffic, Gathering, Judge]:
    """The golden log without answers, in batches of 50 lines."""
    stream, traffic, gathering = Stream(bundle), ReplayedTraffic(bundle.manifest.session.tail, limit), None
    player, nobody, log = Player(stream.judge, set()), Operator(0, Desk(None)), blocks.golden_log()
    for start in range(0, len(log), 50):
        batch = stream.feed(log[start : start + 50], NOW)
        traffic.add(batch, player.play(batch, nobody, start, start + 50))
        own = seen(bundle, stream.judge, batch)
        gathering = gathering or Gathering(Kind.of(own), 0.0)
        gathering.add(own)
    assert gathering is not None
    return traffic, gathering, stream.judge


@pytest.mark.parametrize("bundle_of", [blocks_bundle, every_kind_bundle])
def test_a_replay_puts_by_what_the_service_would(bundle_of: Callable[[], Bundle]) -> None:
    traffic, gathering, judge = put_by(bundle_of())
    found, columns = traffic.read(), gathering.columns()
    theirs = columns[ROWS].drop(TREE, VERSION)
    assert found.anomalous.any()
    (ours,) = found.frames
    assert_frame_equal(in_order(ours), in_order(theirs))
    ends = columns[CLOSINGS]
    assert found.end_anomalous.any()
    assert sorted(closing.session for closing in found.closings) == sorted(ends["session"].to_list())
    assert (found.end_counts.sum(), found.end_anomalous.sum()) == (ends["count"].sum(), ends["anomalous"].sum())
    assert len(found.rows(Layout.needed(judge)).key) == len(found.counts)


def test_no_more_than_its_limit_is_kept_and_that_the_newest() -> None:
    every, few = (put_by(blocks_bundle(), limit)[0].read() for limit in (100_000, 7))
    assert (len(few.counts), len(few.closings)) == (7, 7)
    assert [one.state.tail for one in few.closings] == [one.state.tail for one in every.closings[-7:]]


def test_before_the_first_batch_there_is_nothing() -> None:
    found = ReplayedTraffic(10).read()
    assert len(found) == 0
    assert len(found.counts) == 0
