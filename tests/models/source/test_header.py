"""Headers: the four kinds, and the shortcut for messages at the end of the line."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.source import Header
from models.source.header import HeaderParser, head_pattern

PATTERN = r"^(?P<timestamp>\d+)(?: \[(?P<host>[^\]]*)\])? (?P<level>[A-Z]+): (?P<message>.*)$"


def test_groups_become_fields_and_an_absent_one_is_null() -> None:
    parsed = HeaderParser(Header("regex", PATTERN)).parse(pl.Series(["1 [a] INFO: x: y", "2 WARN: ", "nonsense"]))
    assert parsed.message.to_list() == ["x: y", "", None]
    assert parsed.timestamp is not None
    assert parsed.timestamp.to_list() == ["1", "2", None]
    assert parsed.fields.rows() == [("a", "INFO"), (None, "WARN"), (None, None)]


def test_groups_may_have_any_name() -> None:
    parsed = HeaderParser(Header("regex", r"^(?P<line>\d) (?P<_head>\d) (?P<message>.*)$")).parse(pl.Series(["1 2 m"]))
    assert parsed.message.to_list() == ["m"]
    assert parsed.fields.rows(named=True) == [{"line": "1", "_head": "2"}]


@pytest.mark.parametrize(
    "pattern",
    [
        r"^(?P<a>\S+) (?P<message>.*)$",
        r"^(?P<a>\S*) ?(?P<message>.*)$",
        r"^(?:(?P<a>x|xy)|(?P<b>[|)(]))(?P<message>.*)",
        r"^(?<a>[^]x]+)\((?<message>.*)$",
    ],
)
@settings(deadline=None)  # machines under load
@given(st.text(alphabet=st.sampled_from("xy |()[] \n\\é"), max_size=12))
def test_shortcut_for_the_message_equals_the_whole_pattern(pattern: str, line: str) -> None:
    head = head_pattern(pattern)
    assert head is not None
    lines = pl.Series([line])
    whole = lines.str.extract_groups("(?s)" + pattern).struct.unnest()
    parsed = HeaderParser(Header("regex", pattern)).parse(lines)
    assert parsed.message.to_list() == whole["message"].to_list()
    assert parsed.fields.rows() == whole.drop("message").rows()


@pytest.mark.parametrize(
    "pattern",
    [r"^a|b(?P<message>.*)$", r"a(?P<message>.*)$", r"^(?i)a(?P<message>.*)$", r"^(?P<message>.*) end$"],
)
def test_no_shortcut_where_it_would_mean_something_else(pattern: str) -> None:
    assert head_pattern(pattern) is None


def test_alternatives_outside_a_group_keep_their_meaning() -> None:
    parsed = HeaderParser(Header("regex", r"^a|b(?P<message>.*)$")).parse(pl.Series(["xbtail", "a"]))
    assert parsed.message.to_list() == ["tail", None]


def test_json_takes_first_key_there_and_steps_into_objects() -> None:
    header = Header("json", message=("message", "log.text"), timestamp=("ts",), fields=("level", "k8s.pod", "a.b"))
    lines = [
        '{"message": "m", "ts": 17.5, "level": null, "k8s": {"pod": "p"}, "a.b": true}',
        '{"log": {"text": {"n": 1}}}',
        '{"level": "x"}',
        "[1]",
        "{",
        '{"message": "\\ud800"}',
    ]
    parsed = HeaderParser(header).parse(pl.Series(lines))
    assert parsed.message.to_list() == ["m", '{"n":1}', None, None, None, None]
    assert parsed.timestamp is not None
    assert parsed.timestamp[0] == "17.5"
    assert parsed.fields.row(0) == (None, "p", "true")
    assert set(parsed.errors) == {2, 3, 4, 5}
    assert "message, log.text" in parsed.errors[2]


def test_logfmt_reads_quoted_values_and_is_not_fooled_by_what_is_in_them() -> None:
    header = Header("logfmt", message=("msg",), timestamp=("ts",), fields=("level",))
    lines = ['ts=1 msg="say \\"level=debug\\"" level=info', "at=router status=200", "no pairs", 'msg= level=""']
    parsed = HeaderParser(header).parse(pl.Series(lines))
    assert parsed.message.to_list() == ['say "level=debug"', "at=router status=200", None, ""]
    assert parsed.fields["level"].to_list() == ["info", None, None, ""]
    assert parsed.timestamp is not None
    assert parsed.timestamp.to_list() == ["1", None, None, None]
