"""A source proposed for logs that nobody has described: what it reads, what makes a session, what is said about it."""

import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.errors import DataError
from models.proposal.preview import split
from models.proposal.proposal import Proposal, propose
from models.source.config import Source
from tests.golden import blocks

NOW = 1_785_000_000.0
BEGAN = 1_780_000_000
LINES = 600


def stamp(second: int, pattern: str) -> str:
    return time.strftime(pattern, time.gmtime(BEGAN + second))


def words(number: int) -> str:
    return (
        f"Received order {1000 + number // 5} from 10.0.0.{number % 250}",
        f"Reserving stock for item {number}",
        f"Payment of {number}.50 EUR accepted",
        f"Shipping to /srv/out/{number}.pdf",
        f"Done in {number % 90} ms",
    )[number % 5]


def log(line: Callable[[int], str]) -> list[str]:
    return [line(number) for number in range(LINES)]


DAY = "%Y-%m-%d %H:%M:%S"
LAYOUTS: dict[str, tuple[Callable[[int], str], set[str]]] = {
    "python": (lambda i: f"{stamp(i, DAY)},{i:03d} - shop.orders - INFO - {words(i)}", {"component", "level"}),
    "logback": (
        lambda i: f"{stamp(i, DAY)}.{i:03d} [http-{i % 9}] {'INFO ' if i % 3 else 'WARN '} c.e.Shop - {words(i)}",
        {"thread", "level", "component"},
    ),
    "loguru": (
        lambda i: f"{stamp(i, DAY)}.{i:03d} | INFO     | shop:run:{i % 5} - {words(i)}",
        {"level", "component"},
    ),
    "klog": (
        lambda i: f"I{stamp(i, '%m%d %H:%M:%S')}.{i:06d}   12345 shop.go:{i % 5}] {words(i)}",
        {"level", "pid", "component"},
    ),
    "cri": (lambda i: f"{stamp(i, '%Y-%m-%dT%H:%M:%S')}.{i:09d}Z stdout F {words(i)}", {"stream"}),
    "compose": (lambda i: f"web_1  | {stamp(i, '%Y-%m-%dT%H:%M:%S')}Z INFO {words(i)}", {"component", "level"}),
    "apache": (lambda i: f"[{stamp(i, '%a %b %d %H:%M:%S %Y')}] [notice] {words(i)}", {"level"}),
    "american": (lambda i: f"{stamp(1000 * i, '%m/%d/%Y %H:%M:%S')} INFO {words(i)}", {"level"}),
    "nginx error": (lambda i: f"{stamp(i, '%Y/%m/%d %H:%M:%S')} [error] {words(i)}", {"level"}),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_parts_of_a_header_are_told_by_their_look(name: str) -> None:
    line, fields = LAYOUTS[name]
    found = propose("shop", log(line), NOW)
    records = split(found.source, log(line), NOW)
    assert found.preview.rejected == 0
    assert records.message.to_list() == log(words)
    assert set(records.fields.columns) >= fields
    step = 1000 if name == "american" else 1
    whole = np.floor(records.time)
    assert whole.tolist() == [BEGAN + step * i for i in range(LINES)]
    assert found.preview.templates == 5
    assert {one.mask.name for one in found.preview.masks} == {"IP", "PATH", "NUM"}
    assert all(one.count and one.examples for one in found.preview.masks)


def test_same_lines_give_the_same_proposal() -> None:
    lines = log(LAYOUTS["logback"][0])
    assert propose("shop", lines, NOW).to_dict() == propose("shop", lines, NOW).to_dict()


def test_stack_traces_carry_on_their_record() -> None:
    lines: list[str] = []
    for number in range(LINES):
        lines.append(
            f"{stamp(number, '%Y-%m-%dT%H:%M:%S')}Z ERROR 7 --- [exec-{number % 9}] c.e.Shop  : {words(number)}"
        )
        if number % 20 == 0:
            lines += ["java.lang.IllegalStateException: closed", "\tat a.B.c(B.java:1)", "\tat d.E.f(E.java:2)"]
    found = propose("shop", lines, NOW)
    assert found.source.starts_with is not None
    assert (found.preview.records, found.preview.rejected) == (LINES, 0)
    assert found.preview.read[0]["message"].count("\n") == 3


def entry(number: int) -> dict[str, object]:
    return {
        "@timestamp": stamp(number, "%Y-%m-%dT%H:%M:%SZ"), "severity": "INFO", "text": words(number),
        "trace": {"id": f"{number // 6:032x}"}, "user": number % 50, "took": number * 0.1,
    }  # fmt: skip


def test_json_keys_are_told_by_name_and_by_content() -> None:
    found = propose("shop", log(lambda i: json.dumps(entry(i))), NOW)
    header = found.source.header
    assert (header.kind, header.message, header.timestamp) == ("json", ("text",), ("@timestamp",))
    assert set(header.fields) == {"severity", "trace.id"}
    assert found.source.session.fields == ("trace.id",)
    assert (found.preview.sessions, found.preview.median) == (LINES // 6, 6.0)
    assert found.doubts == ()


def test_pairs_are_told_from_prose() -> None:
    lines = log(lambda i: f'ts={BEGAN + i} level=info msg="{words(i)}" request_id=q{i // 6:x} took={i}ms')
    found = propose("shop", lines, NOW)
    assert found.source.header.kind == "logfmt"
    assert found.source.session.fields == ("request_id",)
    assert found.preview.read[7 % 3]["message"] == words(1)
    assert propose("shop", log(words), NOW).source.header.kind == "raw"


@pytest.mark.parametrize(
    ("line", "pattern"),
    [
        (lambda i: f"{stamp(i, DAY)} INFO req-{i // 6:08d} {words(i)}", "req-"),
        (lambda i: f"{stamp(i, DAY)} INFO {words(i)} job=j{i // 6}", "job"),
        (
            lambda i: f"{stamp(i, DAY)} INFO {words(i)} (01234567-89ab-cdef-0123-{i // 6:012x})",
            "[0-9a-fA-F]{8}",
        ),
    ],
)
def test_ids_in_messages_make_sessions(line: Callable[[int], str], pattern: str) -> None:
    found = propose("shop", log(line), NOW)
    assert pattern in (found.source.session.pattern or "")
    assert (found.preview.sessions, found.preview.median) == (LINES // 6, 6.0)


def test_ids_that_few_lines_have_make_no_sessions() -> None:
    lines = log(lambda i: f"{stamp(i, DAY)} INFO {words(i)}" + (f" job=j{i // 6}" if i % 2 else ""))
    found = propose("shop", lines, NOW)
    assert found.source.session.window_s == 30.0
    best = found.considered[0]
    assert best.rule.pattern is not None
    assert "the others would be rejected" in best.why
    assert found.preview.rejected == 0


def test_presets_are_proposed_where_they_fit() -> None:
    lines = [f"Jun 14 15:16:{i % 60:02d} box sshd[{100 + i // 6}]: {words(i)}" for i in range(LINES)]
    found = propose("auth", lines, NOW)
    assert found.preset == "syslog"
    assert found.source.masks == Source.load("syslog").masks
    assert found.source.session.fields == ("host", "process")
    assert any("names no year" in doubt for doubt in found.doubts)


def test_preset_whose_numbers_are_no_times_is_not_proposed() -> None:
    # Nine words, the second a number: BlueGene's preset reads that as a second of 1970.
    lines = [f"- {i} a b c d e f g {words(i)}" for i in range(LINES)]
    assert propose("x", lines, NOW).preset is None


def test_zone_is_taken_as_given() -> None:
    lines = log(LAYOUTS["python"][0])
    assert any("UTC is assumed" in doubt for doubt in propose("shop", lines, NOW).doubts)
    found = propose("shop", lines, NOW, "Europe/Berlin")
    assert found.source.timestamp is not None
    assert found.source.timestamp.timezone == "Europe/Berlin"
    assert not any("UTC is assumed" in doubt for doubt in found.doubts)


def test_mixed_formats_are_said_to_be_mixed() -> None:
    found = propose("x", log(lambda i: json.dumps(entry(i)) if i % 2 else f"{stamp(i, '%H:%M:%S')} {words(i)}"), NOW)
    assert any("two sources" in doubt for doubt in found.doubts)
    found = propose("x", log(lambda i: LAYOUTS["python"][0](i) if i % 6 else f"{i} odd"), NOW)
    assert found.preview.unread > 0.1
    assert any("do not fit" in doubt for doubt in found.doubts)


@pytest.mark.parametrize(
    "lines", [[], ["", "  "], ["\0\1\2" * 40], ["\ufffd\ufffdx" * 9] * 5], ids=["none", "blank", "binary", "no UTF-8"]
)
def test_what_is_no_log_is_refused(lines: list[str]) -> None:
    with pytest.raises(DataError):
        propose("x", lines, NOW)


@pytest.mark.parametrize(
    "lines",
    [
        ["x"], ["{}"] * 50, ["[1]"] * 50, ["=" * 500] * 50, ["[" * 5_000] * 20, ["a=" * 3_000] * 20, ["(" * 60_000],
        ["<1>"] * 30, ["2024-01-01 00:00:00"] * 30, ["9999999999999999999 x"] * 30, ["\x1b[31mred\x1b[0m text"] * 30,
        ['{"message": null, "a": ' + "[" * 500 + "]" * 500 + "}"] * 30, ["1" * 5_000 + " INFO x"] * 20,
    ],
    ids=range(13),
)  # fmt: skip
def test_any_text_gives_a_source_that_can_be_loaded(lines: list[str]) -> None:
    found = propose("x", lines, NOW)
    assert Source.from_dict(found.source.to_dict()) == found.source
    assert found.preview.records + found.preview.rejected >= 1


def sessions(source: Source, lines: list[str]) -> list[tuple[int, str]]:
    records = split(source, lines, NOW)
    return list(zip(records.session_record.tolist(), records.session.to_list(), strict=True))


def without_presets(lines: list[str]) -> Proposal:
    return propose("x", lines, NOW, presets=())


def test_block_store_without_its_preset_has_the_same_sessions() -> None:
    lines = blocks.normal_log()
    found = without_presets(lines)
    assert sessions(found.source, lines) == sessions(blocks.source(), lines)


def test_hdfs_without_its_preset_has_the_same_sessions(datasets_dir: Path) -> None:
    path = datasets_dir / "hdfs" / "hdfs.log.gz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    sample = [*lines[:7_000], *lines[70_000:77_000], *lines[-7_000:]]
    assert propose("x", sample, NOW).preset == "hdfs"
    assert sessions(without_presets(sample).source, lines) == sessions(Source.load("hdfs"), lines)


@pytest.mark.parametrize(
    ("system", "preset"),
    [
        ("HDFS", "hdfs"), ("BGL", "bgl"), ("Thunderbird", "thunderbird"), ("Hadoop", "hadoop"), ("Linux", "syslog"),
        ("OpenSSH", "syslog"), ("Apache", None), ("Zookeeper", None),
    ],
)  # fmt: skip
def test_public_samples_are_read_whole(datasets_dir: Path, system: str, preset: str | None) -> None:
    path = datasets_dir / "loghub2k" / f"{system}_2k.log"
    if not path.is_file():
        pytest.skip(f"no {path}")
    found = propose("x", path.read_text(errors="replace").splitlines(), NOW)
    assert found.preset == preset
    assert found.preview.unread < 0.01
    assert found.source.timestamp is not None
