"""Records and template ids become rows: one for each session of a line, end records in their place."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.parser import End, Events, Parser
from models.sessions import NO_KEY
from models.source.config import DrainSettings, Source
from models.template.tree import TemplateTree
from tests.golden import blocks

NOW = 1_800_000_000.0


def parser_of(settings: DrainSettings | None = None) -> Parser:
    source = blocks.source()
    return Parser(source, TemplateTree(settings or source.drain, "t"))


def line(text: str, second: int = 0) -> str:
    return f"240501 0000{second:02d} 12 INFO store.Node: {text}"


def learned(parser: Parser, lines: list[str], ends: tuple[End, ...] = ()) -> Events:
    records = parser.split(lines, NOW)
    return parser.events(records, parser.tree.assign(records.masked).ids, ends)


def test_line_that_names_two_sessions_gives_two_rows_of_one_record() -> None:
    events = learned(parser_of(), [line("compaction merges blk_1 into blk_2", 7)])
    assert (events.session, events.index.tolist(), events.record.tolist()) == (["blk_1", "blk_2"], [0, 0], [0, 0])
    assert len(set(events.key.tolist())) == 1
    assert events.time.tolist() == [blocks.BEGAN + 7] * 2
    assert not events.ends.any()


def test_rows_know_their_line_where_others_were_rejected() -> None:
    parser = parser_of()
    records = parser.split(["no header", line("served blk_1"), "", line("served blk_2")], NOW)
    events = parser.events(records, parser.tree.assign(records.masked).ids)
    assert events.index.tolist() == [1, 3]
    assert [rejection.index for rejection in records.rejected] == [0, 2]


def test_end_records_stand_where_they_came() -> None:
    parser = parser_of()
    records = parser.split([line("served blk_1"), line("served blk_2")], NOW)
    # As the service numbers them: two lines and three end records in one batch.
    records = replace(records, index=np.array([1, 3]))
    ids = parser.tree.assign(records.masked).ids
    events = parser.events(records, ids, [End(0, "blk_9"), End(2, "blk_1"), End(4, "blk_2")])
    assert events.index.tolist() == [0, 1, 2, 3, 4]
    assert events.session == ["blk_9", "blk_1", "blk_1", "blk_2", "blk_2"]
    assert events.ends.tolist() == [True, False, True, False, True]
    assert events.record.tolist() == [-1, 0, -1, 1, -1]
    assert (events.key[events.record < 0] == NO_KEY).all()
    assert np.isneginf(events.time[events.record < 0]).all()


def test_batch_of_end_records_alone() -> None:
    events = learned(parser_of(), [], (End(0, "a"), End(1, "b")))
    assert (events.session, events.ends.tolist()) == (["a", "b"], [True, True])


def test_record_that_matches_ends_on_ends_all_its_sessions() -> None:
    events = learned(parser_of(), [line("served blk_1"), line("deleted blk_1 and blk_2"), line("not deleted blk_1")])
    assert events.ends.tolist() == [False, True, True, False]


def test_record_past_the_cap_of_templates_still_ends_its_session() -> None:
    events = learned(parser_of(DrainSettings(max_templates=1)), [line("served blk_1"), line("deleted blk_1")])
    assert events.key.tolist() == [1, 0]
    assert events.ends.tolist() == [False, True]


def test_match_learns_nothing() -> None:
    parser = parser_of()
    records = parser.split([line("served blk_1")], NOW)
    assert parser.match(records).tolist() == [-1]
    assert parser.tree.version == 0


@pytest.fixture(scope="module")
def golden() -> list[str]:
    return blocks.golden_log()


@settings(max_examples=30)
@given(cuts=st.lists(st.integers(1, 350), max_size=5))
def test_rows_are_the_same_in_one_batch_or_in_many(golden: list[str], cuts: list[int]) -> None:
    whole = learned(parser_of(), golden)
    parser = parser_of()
    edges = sorted({0, *(cut for cut in cuts if cut < len(golden)), len(golden)})
    parts = [(start, learned(parser, golden[start:stop])) for start, stop in pairwise(edges)]
    assert [session for _, part in parts for session in part.session] == whole.session
    for column in ("key", "time", "ends"):
        np.testing.assert_array_equal(
            np.concatenate([getattr(part, column) for _, part in parts]), getattr(whole, column)
        )
    assert np.concatenate([part.index + start for start, part in parts]).tolist() == whole.index.tolist()


@pytest.mark.parametrize("count", [1, 300])
def test_no_pattern_of_a_source_takes_more_than_linear_time(count: int) -> None:
    source = Source.from_dict(
        {
            "name": "slow",
            "header": {"kind": "regex", "pattern": "^(?P<level>(?:(?:x+)+y)?)(?P<message>.*)$"},
            "starts_with": "^(?:(x|x)*y|x)",
            "session": {"pattern": "((?:x+x+)+z|^x)"},
            "ends_on": ["(x+)*$y"],
            "masks": [{"name": "SLOW", "pattern": "(?:x|xx|xxx)+w"}],
        }
    )
    parser = Parser(source, TemplateTree(source.drain, "t"))
    # An engine that goes back would try each way to divide the x-es: more of them than it could in a lifetime.
    events = learned(parser, ["x" * 30_000] * count)
    assert len(events) == count
