"""Syslog messages: what each kind says, what sources get of them, and what is malformed."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.source.config import Source
from service.intake import syslog
from service.intake.request import build
from service.intake.routing import Routing
from service.intake.syslog import Malformed, Message, parse

SEEN_NS = int(datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC).timestamp() * 1e6) * 1_000
NAMES = ("app-name", "hostname", "procid", "msgid", "facility", "severity", "peer")


def said(message: str | bytes) -> Message:
    return parse(message if isinstance(message, bytes) else message.encode(), "192.0.2.7", SEEN_NS)


def names(message: Message) -> dict[str, str]:
    return {name: value for name in NAMES if (value := message.get(name)) is not None and name != "peer"}


def seconds(message: Message) -> float | None:
    return None if message.time_ns is None else message.time_ns / 1e9


def test_rfc_5424_in_full() -> None:
    message = said(
        "<165>1 2003-10-11T22:14:15.003-07:00 mymachine.example.com evntslog 8710 ID47 "
        '[exampleSDID@32473 iut="3" eventSource="Appli\\"ca\\]tion\\\\" eventID="10]11"][other@1] '
        "\ufeffAn event: entry…"
    )
    assert names(message) == {
        "app-name": "evntslog", "hostname": "mymachine.example.com", "procid": "8710", "msgid": "ID47",
        "facility": "local4", "severity": "notice",
    }  # fmt: skip
    assert message.text == "An event: entry…"
    assert seconds(message) == datetime(2003, 10, 12, 5, 14, 15, 3_000, tzinfo=UTC).timestamp()
    assert message.get("exampleSDID@32473.iut") == "3"
    assert message.get("exampleSDID@32473.eventSource") == 'Appli"ca]tion\\'
    assert message.get("exampleSDID@32473.eventID") == "10]11"
    assert message.get("other@1.iut") is None
    assert message.get("peer") == "192.0.2.7"


@pytest.mark.parametrize(
    ("sent", "text"), [("  two", " two"), (" one", "one"), ("none", "none"), ("\ufeff one", " one")]
)
def test_the_blank_that_rsyslog_leaves_before_the_text_is_none_of_it(sent: str, text: str) -> None:
    assert said(f"<13>1 - h a - - - {sent}").text == text


def test_rfc_5424_with_nothing_but_nils() -> None:
    message = said("<0>1 - - - - - -")
    assert (message.text, message.stamp, message.time_ns) == ("", None, None)
    assert names(message) == {"facility": "kern", "severity": "emerg"}


@pytest.mark.parametrize(
    ("text", "host", "app", "process", "rest"),
    [
        ("Oct 11 22:14:15 mymachine su: 'su root' failed", "mymachine", "su", None, "'su root' failed"),
        ("Oct  1 22:14:15 fe80::1 sshd[42]: Accepted", "fe80::1", "sshd", "42", "Accepted"),
        ("Oct  1 22:14:15 h postfix/smtpd[7]: x: y", "h", "postfix/smtpd", "7", "x: y"),
        ("Oct  1 22:14:15 cron[1]: no host", None, "cron", "1", "no host"),
        ("Oct  1 22:14:15 h no tag here", "h", None, None, "no tag here"),
        ("2026-05-01T10:00:00.5+02:00 h app: zoned", "h", "app", None, "zoned"),
        ("shop[9]: from a handler", None, "shop", "9", "from a handler"),
        ("just text", None, None, None, "just text"),
        ("1 file copied", None, None, None, "1 file copied"),
        ("Oct 11 22:14:15", None, None, None, ""),
    ],
)
def test_rfc_3164_as_senders_write_it(
    text: str, host: str | None, app: str | None, process: str | None, rest: str
) -> None:
    message = said(f"<38>{text}\n\0")
    assert (message.host, message.app, message.process, message.text) == (host, app, process, rest)
    assert names(message)["facility"] == "auth"
    assert (message.time_ns is not None) == text.startswith("2026")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "empty"),
        (b"\r\n\0", "empty"),
        (b"no priority", "priority"),
        (b"<>1 - - - - - -", "priority"),
        (b"<192>Oct 11 22:14:15 h a: b", "priority"),
        (b"<1234>x", "priority"),
        (b"<013>x", "priority"),
        (b"GET / HTTP/1.1\r", "priority"),
        (b"<13>1 2026-05-01T10:00:00Z h a", "header"),
        (b"<13>1 - h\xc3\xa9 a - - -", "header"),
        (b"<13>1 2026-05-01T10:00:00 h a - - -", "header"),
        (b"<13>1 2026-13-01T10:00:00Z h a - - - x", "time"),
        (b"<13>1 0000-01-01T10:00:00Z h a - - - x", "time"),
        (b"<13>1 0001-01-01T00:00:00+23:59 h a - - - x", "time"),
        (b"<13>2026-02-30T10:00:00Z h a: x", "time"),
        (b"<13>1 - h a - - [unclosed x", "data"),
        (b'<13>1 - h a - - [id a="x" b] x', "data"),
        (b"<13>1 - h a - - [a]x", "data"),
        (b"<13>1 - h a - - text", "data"),
    ],
)
def test_malformed_messages_are_told_by_reason(message: bytes, reason: str) -> None:
    with pytest.raises(Malformed) as raised:
        said(message)
    assert raised.value.reason == reason


def test_bytes_that_are_no_utf_8_are_replaced() -> None:
    assert said(b"<13>app: caf\xe9").text == "caf\ufffd"


def built(source: Source, *messages: str) -> tuple[list[str], list[float | None] | None, list[str | None] | None]:
    entries = [syslog.entry(i, m.encode(), "192.0.2.7", SEEN_NS) for i, m in enumerate(messages)]
    rules = (
        Routing.from_dict({"sessions": {source.name: ["hostname", "procid"]}}) if source.name == "raw" else Routing()
    )
    request = build(source, entries, rules)
    return request.lines, request.times, request.sessions


OLD = "<38>Oct 11 22:14:15 h sshd[42]: Accepted"
NEW = "<38>1 2026-05-01T10:00:00.5+02:00 h sshd 42 - - Accepted"
BARE = "<38>Accepted"


def test_a_source_of_messages_gets_what_was_said() -> None:
    lines, times, sessions = built(Source.load("raw"), OLD, NEW, BARE)
    assert lines == ["Accepted"] * 3
    assert times == [SEEN_NS / 1e9, datetime(2026, 5, 1, 8, 0, 0, 500_000, tzinfo=UTC).timestamp(), SEEN_NS / 1e9]
    assert sessions == ["h/42", "h/42", None]


def test_a_source_that_reads_syslog_files_gets_the_lines_of_a_file() -> None:
    lines, times, _ = built(Source.load("syslog"), OLD, NEW, BARE)
    assert lines == [
        "Oct 11 22:14:15 h sshd[42]: Accepted",
        "May  1 10:00:00 h sshd[42]: Accepted",
        "May  1 12:00:00 192.0.2.7 Accepted",
    ]
    assert times == [None, datetime(2026, 5, 1, 8, 0, 0, 500_000, tzinfo=UTC).timestamp(), SEEN_NS / 1e9]


def test_a_source_that_reads_precise_times_gets_those() -> None:
    config: dict[str, Any] = {
        "name": "files",
        "header": {"kind": "regex", "pattern": r"^(?P<timestamp>\S+) (?P<host>\S+) (?P<message>.*)$"},
        "timestamp": {"formats": ["iso"]},
    }
    lines, _, _ = built(Source.from_dict(config), OLD, NEW, BARE)
    assert lines == [
        "2026-05-01T12:00:00.250000+00:00 h sshd[42]: Accepted",
        "2026-05-01T10:00:00.5+02:00 h sshd[42]: Accepted",
        "2026-05-01T12:00:00.250000+00:00 192.0.2.7 Accepted",
    ]


@pytest.mark.parametrize("preset", ["hdfs", "postgres", "nginx", "json", "logfmt", "openstack"])
def test_other_presets_read_bare_messages(preset: str) -> None:
    assert syslog.form_read(Source.load(preset).header) is None


word = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
field = st.one_of(st.just("-"), word)


@given(st.integers(0, 191), field, field, field, field, st.text(st.characters(codec="utf-8"), max_size=60))
def test_what_is_written_by_rfc_5424_is_read_back(
    priority: int, host: str, app: str, process: str, name: str, text: str
) -> None:
    message = said(f"<{priority}>1 - {host} {app} {process} {name} - \ufeff{text}end")
    assert message.text == f"{text}end"
    read = [message.host, message.app, message.process, message.id]
    assert [value or "-" for value in read] == [host, app, process, name]
    assert (
        syslog.FACILITIES.index(message.get("facility") or "") * 8
        + syslog.SEVERITIES.index(message.get("severity") or "")
        == priority
    )


id_ = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='="]['), min_size=1, max_size=12)


values = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.dictionaries(id_, st.dictionaries(id_, values, max_size=3), min_size=1, max_size=3))
def test_structured_data_is_read_back(elements: dict[str, dict[str, str]]) -> None:
    def escaped(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")

    data = "".join(
        "".join([f"[{name}", *(f' {key}="{escaped(value)}"' for key, value in given.items()), "]"])
        for name, given in elements.items()
    )
    message = said(f"<1>1 - h a p m {data} text")
    assert message.text == "text"
    for name, parameters in elements.items():
        for key, value in parameters.items():
            # Names with dots may be read in two ways; the first one that is written holds.
            if "." not in name + key:
                assert message.get(f"{name}.{key}") == value


parts = st.sampled_from(["<13>", "1 ", "2026-05-01T10:00:00Z", "Oct 11 22:14:15", *' -[]"\\=a:é<>\n\0'])


@given(st.one_of(st.binary(max_size=80), st.lists(parts, max_size=25).map(lambda p: "".join(p).encode())))
def test_whatever_comes_is_a_message_or_malformed(message: bytes) -> None:
    try:
        entry = syslog.entry(0, message, "peer", SEEN_NS)
    except Malformed:
        return
    assert entry.written is not None
    for form in (syslog.TRADITIONAL, syslog.PRECISE):
        assert entry.written(form)[0].endswith(entry.line)
    for name in (*NAMES, "a.a"):
        entry.labels.get(name)
