"""A few lines read one by one come to what columns come to."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.scanner import FEW, Scanner
from models.source import Source, presets
from models.splitter import MAX_AHEAD_S, Splitter

NOW = 1_796_000_000.0
HEADS = {
    "bgl": "- 1117838570 2005.06.03 R02-M1-N0-C 2005-06-03-15.42.50.363779 R02-M1-N0-C RAS KERNEL INFO ",
    "hadoop": "2015-10-18 18:01:47,978 INFO [main] org.apache.hadoop.mapreduce.v2.app.MRAppMaster: ",
    "hdfs": "081109 203518 143 INFO dfs.DataNode$DataXceiver: blk_-16 ",
    "nginx": '10.0.0.1 - - [24/Nov/2026:10:00:00 +0100] "GET /a/12?x=1 HTTP/1.1" 200 12 ',
    "openstack": "nova.log 2017-05-16 00:00:00.008 25746 INFO nova.osapi [req-1 a b] "
    "[instance: b9000564-fe1a-409b-b8cc-1e88b294cd1d] ",
    "postgres": "2026-11-22 10:00:00.123 UTC [41] 6743f0aa.29 shop@shop web LOG:  ",
    "raw": "",
    "syslog": "<34>Oct 11 22:14:15 host sshd[42]: ",
}
WORDS = st.lists(
    st.sampled_from(
        [
            "blk_1",
            "blk_-20",
            "10.0.0.7:5001",
            "/user/root/a-1.log",
            "12",
            "-3.5",
            "0x1f",
            "'a b'",
            "  ",
            "\t",
            "{",
            "deadbeef",
            "in (1, 2)",
            "served",
            "%s",
            "a/b",
            "[x]",
            ":",
            "b9000564-fe1a-409b-b8cc-1e88b294cd1d",
            "é",
            "req-2",
            "5 ms",
        ]
    ),
    max_size=8,
).map(" ".join)


def told(records: object) -> list[object]:
    names = ("index", "message", "masked", "time", "session_record", "session")
    return [
        getattr(records, name).to_list()
        if isinstance(getattr(records, name), pl.Series)
        else getattr(records, name).tolist()
        for name in names
    ]


@pytest.mark.parametrize("preset", sorted(HEADS))
@settings(deadline=None, max_examples=60)
@given(
    texts=st.lists(st.tuples(WORDS, st.integers(0, 40)), min_size=1, max_size=4), tail=st.sampled_from(["", "\r", " "])
)
def test_lines_read_one_by_one_and_as_columns_are_the_same(
    preset: str, texts: list[tuple[str, int]], tail: str
) -> None:
    splitter = Splitter(Source.load(preset))
    # Cut somewhere now and then, so that not every line is well formed.
    lines = [(HEADS[preset] + text)[: 400 if cut > 4 else 40 * cut] + tail for text, cut in texts]
    careful = splitter.split_carefully(pl.Series(lines, dtype=pl.String), NOW)
    for quick in (splitter.split(lines, NOW), Scanner(splitter.source, MAX_AHEAD_S).read(lines, NOW)):
        if quick is None:
            continue
        assert told(quick) == told(careful)
        assert quick.fields.equals(careful.fields)
        assert [(r.index, r.error) for r in quick.rejected] == [(r.index, r.error) for r in careful.rejected]


@pytest.mark.parametrize("preset", sorted(HEADS))
def test_a_plain_line_is_read_here(preset: str) -> None:
    """Or the property above would hold nothing against anything."""
    scanner = Scanner.of(Source.load(preset), MAX_AHEAD_S)
    assert scanner is not None
    records = scanner.read([HEADS[preset] + "something happened 12"], NOW)
    assert records is not None
    assert len(records) == 1


def test_every_preset_of_plain_lines_stands_above() -> None:
    assert {name for name in presets() if Source.load(name).header.kind in ("regex", "raw")} - set(HEADS) <= {
        "hadoop_applications",
        "thunderbird",
    }


@pytest.mark.parametrize(
    "line",
    [
        "",
        "   ",
        "é",
        "no header",
        "081109 209918 143 INFO dfs.DataNode: blk_1 when?",
        "081109 203518 143 INFO dfs.DataNode: no block",
        "381109 203518 1 INFO dfs.A: blk_3 far ahead",
        "081109 203518 143 INFO dfs.DataNode: blk_1 " + "x" * 70_000,
    ],
)
def test_what_is_not_plainly_well_formed_is_left_alone(line: str) -> None:
    scanner = Scanner(Source.load("hdfs"), MAX_AHEAD_S)
    assert scanner.read([HEADS["hdfs"] + "fine", line], NOW) is None


def test_sources_with_other_headers_have_no_scanner() -> None:
    assert Scanner.of(Source.load("json"), MAX_AHEAD_S) is None
    assert Scanner.of(Source.load("logfmt"), MAX_AHEAD_S) is None


def test_few_lines_are_read_here_and_more_by_columns() -> None:
    splitter = Splitter(Source.load("hdfs"))
    one, other = (
        splitter.split([HEADS["hdfs"] + "a 1"] * FEW, NOW),
        splitter.split([HEADS["hdfs"] + "a 1"] * (FEW + 1), NOW),
    )
    assert set(one.masked.to_list()) == set(other.masked.to_list())
    assert np.unique(one.time).tolist() == np.unique(other.time).tolist()


@pytest.mark.parametrize(
    ("header", "session"),
    [
        ({"kind": "regex", "pattern": r"^(?P<timestamp>\S+) (?P<host>\S*) (?P<message>.*)$"}, {"fields": ["host"]}),
        (
            {"kind": "regex", "pattern": r"^(?P<timestamp>\S+) (?:(?P<host>h[0-9]) )?(?P<message>.*)$"},
            {"fields": ["host"]},
        ),
        (
            {"kind": "regex", "pattern": r"^(?P<timestamp>\S+) (?P<message>.*) (?P<host>\S+)$"},
            {"pattern": r"id=(\w+)?"},
        ),
        ({"kind": "regex", "pattern": r"^(?P<timestamp>\S+) (?P<message>.*)$"}, {"window_s": 60}),
        ({"kind": "regex", "pattern": r"^(?P<timestamp>\S+) (?P<message>.*)$"}, {"whole": True}),
    ],
)
@settings(deadline=None, max_examples=60)
@given(
    stamps=st.lists(
        st.tuples(
            st.sampled_from(
                ["2026-11-22T10:00:00", "2026-11-22 10:00:01", "2026-03-29T02:30:00", "2009-01-01T00:00:00", "soon"]
            ),
            st.sampled_from(["", ".1", ".123", ",250", ".123456", ".000000001"]),
            st.sampled_from(["", "Z", "+02:00", "-0130"]),
        ),
        min_size=1,
        max_size=3,
    ),
    words=st.sampled_from(["h1 id=a id=b id= done", "h2 id=a id=a", "x", "h1 ", " id=c"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "+05:30"]),
)
def test_session_rules_and_iso_stamps(
    header: dict[str, object], session: dict[str, object], stamps: list[tuple[str, str, str]], words: str, zone: str
) -> None:
    plain = {"name": "s", "header": header, "session": session, "timestamp": {"formats": ["iso"], "timezone": zone}}
    splitter = Splitter(Source.from_dict(plain))
    scanner = Scanner.of(splitter.source, MAX_AHEAD_S)
    assert scanner is not None
    lines = ["".join(stamp) + " " + words for stamp in stamps]
    for _ in range(2):  # the second time from what is remembered
        quick = scanner.read(lines, NOW)
        if quick is not None:
            careful = splitter.split_carefully(pl.Series(lines, dtype=pl.String), NOW)
            assert told(quick) == told(careful)
            assert quick.fields.equals(careful.fields)


@settings(deadline=None, max_examples=100)
@given(
    stamps=st.lists(
        st.sampled_from(["Oct 11 22:14:15", "Dec 31 23:59:59", "Jan  1 00:00:00", "Feb 29 12:00:00"]), min_size=1
    ),
    arrivals=st.lists(st.floats(1.5e9, 2.0e9), min_size=1, max_size=6),
)
def test_stamps_without_a_year_are_dated_by_each_arrival(stamps: list[str], arrivals: list[float]) -> None:
    splitter = Splitter(Source.load("syslog"))
    scanner = Scanner.of(splitter.source, MAX_AHEAD_S)
    assert scanner is not None
    for arrival in sorted(arrivals) + arrivals:
        lines = [f"{stamp} host sshd[42]: hello" for stamp in stamps]
        quick = scanner.read(lines, arrival)
        careful = splitter.split_carefully(pl.Series(lines, dtype=pl.String), arrival)
        if quick is not None:
            assert quick.time.tolist() == careful.time.tolist()
