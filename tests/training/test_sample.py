"""The shipped sample is what its labels and its README say, and the recorder records on a real server."""

import csv
import gzip
import os
import random
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

import training.sample
from models.errors import TocsinError
from training.sample.client import load_driver
from training.sample.faults import FAULTS
from training.sample.lines import LINE, is_continuation
from training.sample.record import LABELS_FILE, LOG_FILE, main, plan, record
from training.sample.server import find_binaries

SHIPPED = Path(training.sample.__file__).parent
GREP = re.compile("ERROR|FATAL")


@dataclass(frozen=True)
class Sample:
    """A recording: every physical line, each session's lines in order of first appearance, and the labels."""

    lines: list[str]
    sessions: dict[str, list[str]]
    kinds: dict[str, str]


def read(folder: Path) -> Sample:
    lines = gzip.decompress((folder / LOG_FILE).read_bytes()).decode().splitlines()
    sessions: defaultdict[str, list[str]] = defaultdict(list)
    session = ""
    for line in lines:
        if not is_continuation(line):
            match = LINE.match(line)
            assert match, f"neither a line of the log nor a continuation: {line!r}"
            session = match["session"]
        sessions[session].append(line)
    with (folder / LABELS_FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["session"] for row in rows if (row["anomalous"] == "1") != bool(row["kind"])] == []
    kinds = {row["session"]: row["kind"] for row in rows}
    assert len(kinds) == len(rows), "a session is labelled twice"
    return Sample(lines, dict(sessions), kinds)


@pytest.fixture(scope="module")
def shipped() -> Sample:
    return read(SHIPPED)


@pytest.fixture
def recorder() -> None:
    """Skips where the recorder's parts are missing; fails where ``TOCSIN_REQUIRE_ALL`` wants every part."""
    try:
        find_binaries()
        load_driver()
    except TocsinError as missing:
        if os.environ.get("TOCSIN_REQUIRE_ALL") == "1":
            pytest.fail(f"TOCSIN_REQUIRE_ALL=1, but {missing}")
        pytest.skip(str(missing))


def late_sessions(sample: Sample) -> list[str]:
    order = list(sample.sessions)
    return order[int(len(order) * 0.6) :]


def template(line: str) -> str:
    """The line without its prefix, its numbers and its quoted strings: equal for lines of one kind."""
    match = LINE.match(line)
    text = f"{match['level']} {match['message']}" if match else line
    return re.sub(r"\d+", "#", re.sub(r"'[^']*'", "'*'", re.sub(r"\b[0-9a-f]{12,}\b", "#", text)))


def test_every_session_of_the_log_is_labelled_and_no_other(shipped: Sample) -> None:
    assert list(shipped.kinds) == list(shipped.sessions)


def test_shipped_log_is_as_large_as_promised(shipped: Sample) -> None:
    assert len(shipped.lines) >= 18_000
    assert len(shipped.sessions) >= 1_200
    assert (SHIPPED / LOG_FILE).stat().st_size < 1_000_000


def test_faults_are_only_in_the_last_two_fifths(shipped: Sample) -> None:
    faulty = {session for session, kind in shipped.kinds.items() if kind}
    assert faulty
    assert faulty <= set(late_sessions(shipped))


def test_every_kind_of_fault_is_recorded_as_often_as_planned(shipped: Sample) -> None:
    counts = Counter(kind for kind in shipped.kinds.values() if kind)
    assert counts == {fault.kind: fault.count * (2 if fault.kind == "deadlock" else 1) for fault in FAULTS}
    assert len(counts) >= 10


def test_faults_that_grep_cannot_see_say_nothing_new(shipped: Sample) -> None:
    late = set(late_sessions(shipped))
    known = {template(line) for session, lines in shipped.sessions.items() if session not in late for line in lines}
    hidden = {
        "missing_step",
        "wrong_order",
        "slow_statement",
        "retry_loop",
        "abandoned_transaction",
        "wrong_role_access",
    }
    for session, kind in shipped.kinds.items():
        if kind in hidden:
            lines = shipped.sessions[session]
            assert not any(GREP.search(line) for line in lines), (kind, session)
            assert {template(line) for line in lines} <= known, (kind, session)


def test_slow_statements_show_as_a_duration_where_there_is_none_otherwise(shipped: Sample) -> None:
    slow = {session for session, lines in shipped.sessions.items() if any("LOG:  duration: " in line for line in lines)}
    reports = {session for session in slow if "@shop report " in shipped.sessions[session][-1]}
    assert slow - reports == {session for session, kind in shipped.kinds.items() if kind == "slow_statement"}


def test_grep_is_mostly_wrong(shipped: Sample) -> None:
    hits = [s for s in late_sessions(shipped) if any(GREP.search(line) for line in shipped.sessions[s])]
    assert sum(bool(shipped.kinds[s]) for s in hits) / len(hits) < 0.4


def test_normal_sessions_of_the_last_part_are_like_the_earlier_ones(shipped: Sample) -> None:
    paths = {session: tuple(map(template, lines)) for session, lines in shipped.sessions.items()}
    late = late_sessions(shipped)
    seen = {paths[session] for session in paths.keys() - set(late)}
    normal = [session for session in late if not shipped.kinds[session]]
    assert sum(paths[session] not in seen for session in normal) / len(normal) <= 0.03


def test_log_names_no_machine(shipped: Sample) -> None:
    text = "\n".join(shipped.lines)
    assert not re.search(r"/tmp/|/home/|/root|recorder|shop_admin", text)
    assert str(Path(__file__).resolve().parents[3]) + "/" not in text
    users = {match["user"] for match in map(LINE.match, shipped.lines) if match and match["user"]}
    assert {user for user in users if not user.startswith("shop_")} == {"[unknown]"}


def test_plan_keeps_faults_out_of_the_first_part_and_repeats_itself() -> None:
    steps = plan(400, random.Random(3))
    kinds = [step.kind for step in steps]
    assert len(steps) == 400
    assert not any(kinds[:240])
    assert len({kind for kind in kinds if kind}) == len(FAULTS)
    assert [(step.kind, step.script) for step in plan(400, random.Random(3))] == [(s.kind, s.script) for s in steps]


@pytest.mark.usefixtures("recorder")
def test_recorder_records_labelled_sessions_of_a_real_server(tmp_path: Path) -> None:
    with Progress(console=Console(quiet=True)) as progress:
        made = record(tmp_path, sessions=12, seed=5, pause_s=0.002, progress=progress)
    sample = read(tmp_path)
    assert list(sample.kinds) == list(sample.sessions)
    assert made.sessions == len(sample.sessions)
    assert made.lines == len(sample.lines)
    assert Counter(kind for kind in sample.kinds.values() if kind) == made.faulty
    assert made.faulty
    text = "\n".join(sample.lines)
    assert "database system is shut down" in text
    assert "application_name=recorder" not in text
    assert re.search(r"LOG:  (statement|execute <unnamed>): .*\n\t", text), "no statement over several lines"


@pytest.mark.usefixtures("recorder")
def test_recorder_refuses_an_empty_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), "--sessions", "0"])
    assert "--sessions must be at least 1" in capsys.readouterr().err
