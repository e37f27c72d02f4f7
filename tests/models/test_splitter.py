"""Splitting: every line is accounted for, wrong lines are rejected with reasons, nothing else is disturbed."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.record import Records
from models.source import Source, presets
from models.splitter import MAX_CONTINUATION_LINES, Splitter

HEADER = {"kind": "regex", "pattern": r"^(?P<timestamp>\S+) (?P<host>\S+) (?P<message>.*)$"}


def splitter(**settings: object) -> Splitter:
    plain: dict[str, object] = {"name": "shop", "header": HEADER, "timestamp": {"formats": ["epoch_s"]}}
    return Splitter(Source.from_dict({**plain, **settings}))


def rows(records: Records) -> list[tuple[object, ...]]:
    ids: list[list[str]] = [[] for _ in range(len(records))]
    for record, session in zip(records.session_record.tolist(), records.session, strict=True):
        ids[record].append(session)
    columns = (
        records.index.tolist(),
        records.message,
        records.masked,
        records.time.tolist(),
        records.fields.rows(),
        ids,
    )
    return list(zip(*columns, strict=True))


def errors(records: Records) -> dict[int, str]:
    return {rejection.index: rejection.error for rejection in records.rejected}


def test_wrong_lines_are_rejected_in_order_and_the_others_stand() -> None:
    lines = ["1 a one", "", "two", "x" * 100, "soon\x07 a three", "5 b four", " \t"]
    records = splitter(max_line_bytes=50).split(lines, 0.0)
    assert records.message.to_list() == ["one", "four"]
    assert records.index.tolist() == [0, 5]
    assert records.fields["host"].to_list() == ["a", "b"]
    assert records.time.tolist() == [1.0, 5.0]
    told = errors(records)
    assert list(told) == [1, 2, 3, 4, 6]
    assert told[1] == told[6] == "empty line"
    assert "source shop: 'two'" in told[2]
    assert told[3] == "100 bytes, the limit is 50 (max_line_bytes of the source)"
    assert told[4] == r"timestamp 'soon\x07' does not read as epoch_s"


def test_limit_counts_bytes_not_characters() -> None:
    split = splitter(header={"kind": "raw"}, timestamp=None, max_line_bytes=4).split
    assert len(split(["éé", "abcd"], 0.0)) == 2
    assert "6 bytes" in errors(split(["ééé"], 0.0))[0]


def test_long_value_is_shortened_in_the_error() -> None:
    told = errors(splitter().split([f"{'9' * 5_000} a b", "z" * 5_000], 0.0))
    assert len(told) == 2
    assert all(len(text) < 200 for text in told.values())


def test_each_distinct_id_is_one_session_in_order_of_appearance() -> None:
    records = splitter(session={"pattern": "id[0-9]"}).split(["1 a id2 id1 id2", "2 a none", "3 a id1"], 0.0)
    assert records.session.to_list() == ["id2", "id1", "id1"]
    assert records.session_record.tolist() == [0, 0, 1]
    assert records.index.tolist() == [0, 2]
    assert errors(records) == {1: "no session id: pattern id[0-9] found nothing in the message"}


def test_group_of_the_pattern_is_the_id_and_the_line_can_be_searched() -> None:
    rule = {"pattern": r"host=([a-z]+)|user=[a-z]+", "over": "line"}
    lines = ["1 host=a host=b", "2 host=a host=a user=x", "3 x user=y"]
    records = splitter(session=rule, header={**HEADER, "pattern": r"^(?P<timestamp>\d+) (?P<message>.*)$"}).split(
        lines, 0.0
    )
    assert records.session.to_list() == ["a", "b", "a"]
    assert list(errors(records)) == [2]


def test_fields_make_the_id_and_only_a_line_without_any_is_rejected() -> None:
    header = {"kind": "logfmt", "fields": ["host", "pid"], "message": ["msg"]}
    records = splitter(header=header, timestamp=None, session={"fields": ["host", "pid"]}).split(
        ["msg=m host=a pid=1", "msg=m pid=1", "msg=m"], 0.0
    )
    assert records.session.to_list() == ["a/1", "-/1"]
    assert list(errors(records)) == [2]


def test_windows_cut_event_time() -> None:
    records = splitter(session={"window_s": 60}).split(["59 a x", "60 a x", "119.9 a x"], 0.0)
    assert records.session.to_list() == ["0", "60", "60"]


def test_given_session_and_time_stand_above_the_line() -> None:
    lines = ["1 a id1", "soon a none", "3 a id3", "4 a id4"]
    records = splitter(session={"pattern": "id[0-9]"}).split(
        lines, 0.0, sessions=[None, "mine", "mine", None], times=[None, 20.0, None, math.inf]
    )
    assert records.session.to_list() == ["id1", "mine", "mine"]
    assert records.time.tolist() == [1.0, 20.0, 3.0]
    assert "not finite" in errors(records)[3]


def test_arrival_dates_lines_of_a_source_without_timestamps() -> None:
    split = splitter(header={"kind": "raw"}, timestamp=None).split
    assert split(["a", "b"], 7.0).time.tolist() == [7.0, 7.0]
    assert split(["a", "b"], [7.0, 8.0]).time.tolist() == [7.0, 8.0]


def test_lines_that_carry_on_join_the_record_above() -> None:
    lines = ["\tlost", "1 a one", "\tmore", "", "2 b two", "3 c three", "\tend\r\n"]
    records = splitter(starts_with="^[0-9]").split(lines, 0.0)
    assert records.message.to_list() == ["one\n\tmore\n", "two", "three\n\tend"]
    assert records.masked.to_list() == ["one more", "two", "three end"]
    assert records.index.tolist() == [1, 4, 5]
    assert list(errors(records)) == [0]
    assert "first line is not in this batch" in errors(records)[0]


def test_rejected_record_takes_its_further_lines_along() -> None:
    records = splitter(starts_with="^[0-9]", max_line_bytes=20).split(
        ["1bad", "\tof bad", "2 a two", "\t" + "x" * 30], 0.0
    )
    assert len(records) == 0
    assert list(errors(records)) == [0, 2]
    assert "39 bytes" in errors(records)[2]


def test_endless_record_is_cut() -> None:
    lines = ["1 a one", *["\tx"] * (MAX_CONTINUATION_LINES + 2), "2 a two"]
    records = splitter(starts_with="^[0-9]").split(lines, 0.0)
    assert records.message[0].count("\n") == MAX_CONTINUATION_LINES
    assert records.message[1] == "two"
    assert list(errors(records)) == [MAX_CONTINUATION_LINES + 1, MAX_CONTINUATION_LINES + 2]


def test_line_of_several_lines_is_taken_as_it_is() -> None:
    records = splitter().split(["1 a one\n\ttwo"], 0.0)
    assert (records.message[0], records.masked[0]) == ("one\n\ttwo", "one two")


def test_empty_batch_gives_no_records() -> None:
    for name in presets():
        records = Splitter(Source.load(name)).split([], 0.0)
        assert (len(records), len(records.masked), len(records.session), records.rejected) == (0, 0, 0, [])


def test_columns_are_of_the_promised_types() -> None:
    for name in presets():
        for lines in ([], ["x"], ["081109 203530 1 INFO a: blk_1"]):
            records = Splitter(Source.load(name)).split(pl.Series(lines, dtype=pl.String), 0.0)
            assert (records.index.dtype, records.time.dtype, records.session_record.dtype) == (
                "int64",
                "float64",
                "int64",
            )
            assert {records.message.dtype, records.masked.dtype, records.session.dtype} == {pl.String}
            assert len(records.fields) == len(records)


STARTS = [
    "081109 203530 1 INFO a.B: ",
    "2024-05-06 07:08:09.123 UTC [42] 663.2a app@shop worker LOG:  ",
    "2015-10-18 18:01:47,978 INFO [main] a.B: ",
    "<1>May  9 22:14:15 host p[1]: ",
    '{"message": "',
    "msg=",
    '1.1.1.1 - - [06/May/2024:07:08:09 +0200] "GET / HTTP/1.1" 200 1',
    "- 1100000000 2004.11.09 n Nov 9 12:00:00 n/n p[1]: ",
]
LINE = st.builds(
    "".join,
    st.tuples(st.sampled_from([*STARTS, "", ""]), st.text(max_size=20), st.sampled_from(["", "blk_1", '"}', "\x00"])),
)
BATCH = st.lists(LINE, max_size=12)
SINGLE = [name for name in presets() if Source.load(name).starts_with is None]


@pytest.mark.parametrize("preset", presets())
@settings(deadline=None)  # machines under load
@given(lines=BATCH)
def test_every_line_is_a_record_or_rejected_or_carries_one_on(preset: str, lines: list[str]) -> None:
    source = Source.load(preset)
    records = Splitter(source).split(lines, 1.7e9)
    begun = records.index.tolist()
    refused = [rejection.index for rejection in records.rejected]
    assert begun == sorted(set(begun))
    assert refused == sorted(set(refused))
    assert not set(begun) & set(refused)
    left = set(range(len(lines))) - set(begun) - set(refused)
    if source.starts_with is None:
        assert not left
    else:
        carried = pl.Series(lines, dtype=pl.String).str.contains(source.starts_with)
        assert all(not carried[index] and index > 0 for index in left)
    assert sorted(set(records.session_record.tolist())) == list(range(len(records)))


@pytest.mark.parametrize("preset", SINGLE)
@settings(deadline=None)  # machines under load
@given(lines=BATCH, cut=st.integers(0, 12))
def test_two_batches_give_what_one_gives(preset: str, lines: list[str], cut: int) -> None:
    split = Splitter(Source.load(preset)).split
    whole, first, second = split(lines, 1.7e9), split(lines[:cut], 1.7e9), split(lines[cut:], 1.7e9)
    at = len(lines[:cut])
    shifted = [(int(row[0]) + at, *row[1:]) for row in rows(second)]  # type: ignore[call-overload]
    assert rows(whole) == rows(first) + shifted
    assert errors(whole) == errors(first) | {index + at: error for index, error in errors(second).items()}


def test_line_from_the_far_future_is_rejected_and_costs_only_itself() -> None:
    source = Source.from_dict({"name": "s", "header": {"kind": "raw"}, "session": {"whole": True}})
    records = Splitter(source).split(["now", "much later"], 1_000.0, times=[1_000.0, 1_000.0 + 86_401.0])
    assert records.message.to_list() == ["now"]
    assert [rejection.index for rejection in records.rejected] == [1]
    assert "after it arrived" in records.rejected[0].error


GOOD = {
    "hdfs": [
        "081109 203518 143 INFO dfs.DataNode$DataXceiver: Receiving block blk_-160 src: /10.0.0.1:5 dest: /10.0.0.2:50",
        "081109 203519 26 INFO dfs.FSNamesystem: BLOCK* ask 10.0.0.3:50010 to delete  blk_7 blk_-160 blk_7\r",
        "081109 203520 26 WARN dfs.FSNamesystem: blk_12\tis  at /user/root/part-0 é",
    ],
    "postgres": [
        "2026-11-22 10:00:00.123 UTC [41] 6743f0aa.29 shop@shop web LOG:  statement: SELECT 1",
        '2026-11-22 10:00:00.124 UTC [42] 6743f0ab.2a ERROR:  relation "none" does not exist at character 15',
        "2026-11-22 10:00:01.000 UTC [41] 6743f0aa.29 shop@shop web LOG:  duration: 0.5 ms",
    ],
}
FLAWED = [
    "", "   ", "nonsense", "\tat java.lang.Thread", "081109 209918 143 INFO dfs.DataNode: blk_1 at no such time",
    "081109 203518 143 INFO dfs.DataNode: names no block", "381109 203518 1 INFO dfs.A: blk_3 is far ahead",
    "2026-11-22 10:00:00.123 UTC [41] 6743f0aa.29 shop@shop web LOG:  " + "x" * 300,
]  # fmt: skip


@given(
    preset=st.sampled_from(sorted(GOOD)),
    picks=st.lists(st.integers(0, 2), min_size=1, max_size=12),
    flaws=st.lists(st.tuples(st.integers(0, 12), st.sampled_from(FLAWED)), max_size=2),
    zone=st.sampled_from(["UTC", "+02:00", "Europe/Berlin"]),
    over=st.sampled_from(["message", "line"]),
    times=st.sampled_from([1, 100]),
)
@settings(deadline=None, max_examples=150)
def test_the_quick_way_and_the_careful_one_come_to_the_same(
    preset: str, picks: list[int], flaws: list[tuple[int, str]], zone: str, over: str, times: int
) -> None:
    plain = Source.load(preset).to_dict()
    plain["timestamp"] = {**dict(plain["timestamp"]), "timezone": zone}  # type: ignore[call-overload]
    plain["max_line_bytes"] = 256
    if preset == "hdfs":
        plain["session"] = {"pattern": "blk_-?[0-9]+", "over": over}
    split = Splitter(Source.from_dict(plain))
    lines = [GOOD[preset][pick] for pick in picks] * times
    for place, flaw in flaws:
        lines.insert(place, flaw)
    arrival = 1_796_000_000.0
    quick = split.split(lines, arrival)
    careful = split.split_carefully(pl.Series(lines, dtype=pl.String), arrival)
    assert rows(quick) == rows(careful)
    assert errors(quick) == errors(careful)
    assert quick.fields.columns == careful.fields.columns
    for column in ("message", "masked", "session"):
        assert getattr(quick, column).dtype == getattr(careful, column).dtype == pl.String
    assert quick.session_record.dtype == careful.session_record.dtype == np.int64
    if quick.distinct is not None:
        assert quick.distinct.messages.gather(quick.distinct.code).to_list() == quick.masked.to_list()


@pytest.mark.parametrize("preset", sorted(GOOD))
def test_what_is_well_formed_takes_the_quick_way(preset: str) -> None:
    """Or the property above would hold nothing against anything."""
    quick = Splitter(Source.load(preset))._wellformed
    assert quick is not None
    lines = pl.Series(GOOD[preset], dtype=pl.String)
    records = quick.read(lines, np.full(len(lines), 1_796_000_000.0))
    assert records is not None
    assert len(records) == len(lines)
