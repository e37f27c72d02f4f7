"""A log split by time and cut into sessions by the rule that serves them."""

import numpy as np
import pytest

from models.errors import DataError
from models.parser import Events, Parser
from models.source.config import Source
from models.template.tree import TemplateTree
from tests.golden import blocks
from training.corpus import (
    CHUNK_LINES,
    SHORTEST_IDLE_S,
    chunks,
    cut_sessions,
    measured_idle_s,
    split_log,
    split_sessions,
    upto,
)

NOW = 1_800_000_000.0


def line(block: str, second: int) -> str:
    return f"240501 {second // 3600:02d}{second // 60 % 60:02d}{second % 60:02d} 12 INFO store.Node: served {block}"


def events_of(lines: list[str], source: Source) -> Events:
    records = split_log(source, lines, NOW)
    tree = TemplateTree(source.drain, "t")
    return Parser(source, tree).events(records, tree.assign(records.masked).ids)


def test_split_is_by_first_line_whatever_comes_later() -> None:
    order = ["blk_1", "blk_2", "blk_3", "blk_1", "blk_4", "blk_2", "blk_1"]
    records = split_log(blocks.source(), [line(block, at) for at, block in enumerate(order)], NOW)
    split = split_sessions(records, 0.5)
    assert (split.train, split.test, split.first_test_record) == (["blk_1", "blk_2"], ["blk_3", "blk_4"], 2)


def test_all_of_a_log_may_be_trained_on() -> None:
    records = split_log(blocks.source(), [line("blk_1", 0), line("blk_2", 1)], NOW)
    split = split_sessions(records, 1.0)
    assert (split.train, split.test, split.first_test_record) == (["blk_1", "blk_2"], [], 2)


def test_line_that_begins_the_test_part_is_not_trained_on_even_where_it_names_a_training_session() -> None:
    lines = [line("blk_1", 0), line("blk_2", 1), line("blk_1 with blk_3", 2), line("blk_4", 3)]
    records = split_log(blocks.source(), lines, NOW)
    split = split_sessions(records, 0.5)
    assert (split.test, split.first_test_record) == (["blk_3", "blk_4"], 2)
    earlier = upto(records, split.first_test_record)
    assert earlier.session.to_list() == ["blk_1", "blk_2"]
    assert (len(earlier), len(earlier.masked), len(earlier.message), earlier.fields.height) == (2, 2, 2, 2)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, float("nan"), float("inf")])
def test_train_share_out_of_range_is_an_error(share: float) -> None:
    records = split_log(blocks.source(), [line("blk_1", 0)], NOW)
    with pytest.raises(DataError, match="above 0 and at most 1"):
        split_sessions(records, share)


def test_share_that_leaves_nothing_to_train_on_is_an_error() -> None:
    records = split_log(blocks.source(), [line("blk_1", 0), line("blk_2", 0)], NOW)
    with pytest.raises(DataError, match=r"2 sessions and a train share of 0\.4: nothing to train on"):
        split_sessions(records, 0.4)


def test_log_of_another_source_is_an_error_that_shows_its_lines() -> None:
    with pytest.raises(DataError, match=r"3 of 4 lines do not fit source 'blocks' \(line 1: .*line 4: .*preset"):
        split_log(blocks.source(), ["what", line("blk_1", 0), "is", "this"], NOW)


def test_some_lines_that_do_not_fit_are_left_out_and_told_by_their_place() -> None:
    records = split_log(blocks.source(), [line("blk_1", 0), "what", line("blk_1", 1), line("blk_1", 2)], NOW)
    assert (records.index.tolist(), [r.index for r in records.rejected]) == ([0, 2, 3], [1])


@pytest.mark.parametrize("preset", ["raw", "logfmt"])
def test_log_of_several_chunks_is_split_as_one(preset: str) -> None:
    source = Source.load(preset)
    lines = [f"msg=line level=info n={number}" for number in range(2 * CHUNK_LINES + 10)]
    lines[CHUNK_LINES + 5] = ""
    seen: list[tuple[int, int]] = []
    records = split_log(source, lines, NOW, lambda done, total: seen.append((done, total)))
    assert seen == [(CHUNK_LINES, len(lines)), (2 * CHUNK_LINES, len(lines)), (len(lines), len(lines))]
    assert records.index.tolist() == [number for number in range(len(lines)) if number != CHUNK_LINES + 5]
    assert [r.index for r in records.rejected] == [CHUNK_LINES + 5]
    assert records.session_record.tolist() == list(range(len(lines) - 1))
    assert records.fields.height == len(lines) - 1
    assert upto(records, CHUNK_LINES + 3).masked.to_list() == records.masked.to_list()[: CHUNK_LINES + 3]


def test_chunks_begin_where_records_begin() -> None:
    source = Source.from_dict({**Source.load("raw").to_dict(), "starts_with": "^#"})
    lines = ["tail of a record before", "#1", "#2", " more", " more", " more", "#3", " more"]
    assert chunks(source, lines, 2) == [(0, 1), (1, 2), (2, 6), (6, 8)]
    assert chunks(source, ["no", "start", "at", "all"], 2) == [(0, 4)]
    assert chunks(Source.load("raw"), lines, 3) == [(0, 3), (3, 6), (6, 8)]


def test_sessions_are_cut_by_silence_and_by_ends() -> None:
    lines = [line("blk_1", 0), line("blk_2", 1), line("blk_1", 5), line("blk_1", 2000), line("blk_2", 2001)]
    lines += ["240501 003330 12 INFO store.Names: deleted blk_1", line("blk_1", 2015)]
    events = events_of(lines, blocks.source())
    found = cut_sessions(events, blocks.IDLE_S, 60.0)
    assert [(s.session, len(s.keys), s.started - blocks.BEGAN, s.last - blocks.BEGAN) for s in found] == [
        ("blk_1", 2, 0.0, 5.0),
        ("blk_2", 1, 1.0, 1.0),
        ("blk_1", 2, 2000.0, 2010.0),
        ("blk_2", 1, 2001.0, 2001.0),
        ("blk_1", 1, 2015.0, 2015.0),
    ]
    whole = cut_sessions(events, np.inf, 60.0)
    assert [(s.session, len(s.keys)) for s in whole] == [("blk_1", 4), ("blk_2", 2), ("blk_1", 1)]


def test_idle_time_is_the_rare_pause_and_never_very_short() -> None:
    source = blocks.source()
    pauses = measured_idle_s(events_of([line("blk_1", 300 * at) for at in range(100)], source))
    assert pauses == 300.0
    assert measured_idle_s(events_of([line("blk_1", at) for at in range(100)], source)) == SHORTEST_IDLE_S
    assert measured_idle_s(events_of([line("blk_1", 0), line("blk_2", 500)], source)) == SHORTEST_IDLE_S
