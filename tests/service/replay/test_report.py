import io

import pytest
from rich.console import Console

from models.errors import DataError
from service.cli.replay import show
from service.replay.report import Report, protocol, quality
from service.replay.stream import Replayed
from service.replay.tally import Tally
from training.logs import Labels


def verdict(session: str, kind: str = "line", **changes: object) -> dict[str, object]:
    plain = {"kind": kind, "session": session, "novel": False, "anomalous": False, "state": "scored", "incident": None}
    return plain | changes


@pytest.fixture
def tally() -> Tally:
    """Two answers and the ends of three sessions: ``a`` rings by a line, ``c`` by its end."""
    tally = Tally(latencies_s=[0.010, 0.020, 0.030])
    tally.add_answer(
        {
            "versions": {"bundle": "7"},
            "rejected": [{"index": 1, "error": "not in the format"}],
            "verdicts": [verdict("a", anomalous=True, novel=True, incident="i1"), verdict("b", novel=True)],
        },
        [10, 11, -1, 12],
        3,
    )
    tally.add_answer(
        {
            "versions": {"bundle": "7"},
            "rejected": [],
            "verdicts": [
                verdict("a", anomalous=True, incident="i1"),
                verdict("c", state="learning"),
                verdict("c", "session", anomalous=True, incident="i2"),
            ],
        },
        [13, 14],
        2,
    )
    tally.add_ends([verdict("c", "session", anomalous=True, incident="i2"), verdict("b", "session")])
    return tally


def test_ends_in_answers_are_not_counted_twice(tally: Tally) -> None:
    report = Report("as streamed", Replayed(tally, 2.0, 1)).to_dict()
    assert report["verdicts"] == {
        "line": {"seen": 4, "anomalous": 2},
        "session": {"seen": 2, "anomalous": 1},
        "states": {"scored": 5, "learning": 1},
    }
    assert (report["incidents"], report["sessions_rang"], report["versions"]) == (2, 2, ["7"])


def test_throughput_latency_and_rejections(tally: Tally) -> None:
    report = Report("as streamed", Replayed(tally, 2.0, 1)).to_dict()
    assert (report["lines"], report["lines_per_s"], report["requests"]) == (5, 2.5, 3)
    assert report["latency_ms"] == {"p50": pytest.approx(20.0), "p99": pytest.approx(29.8)}
    assert report["rejections"] == [{"line": 12, "error": "not in the format"}]


def test_session_is_caught_if_any_verdict_of_it_is_anomalous(tally: Tally) -> None:
    labels = Labels({"a": True, "b": False, "c": False, "d": True, "e": False, "f": True}, {"a": "slow", "d": "slow"})
    found = quality(["a", "b", "c", "d", "e", "unlabelled"], tally.rang, labels)
    assert (found.counts.tp, found.counts.fp, found.counts.fn, found.counts.tn) == (1, 1, 1, 2)
    assert found.by_kind == {"slow": (1, 2)}
    assert found.kinds_caught == 1
    assert found.to_dict()["precision"] == 0.5
    assert found.sessions == 5


def test_labels_of_another_log_are_an_error() -> None:
    with pytest.raises(DataError, match="no session of the counted part"):
        quality(["a"], set(), Labels({"z": True}, {}))


def test_protocol_stands_beside_the_figures() -> None:
    assert protocol(60.0, "never") == "as streamed, sessions close after 60 s of silence"
    assert "with end markers" in protocol(60.0, "last_line")
    assert "end of the log" in protocol(60.0, "end_of_log")


def test_hostile_text_reaches_a_terminal_as_text() -> None:
    hostile = "\x1b[2J[red]x[/red]\r\n\u202e"
    tally = Tally(rejected=1, rejections=[(1, hostile)], versions={hostile}, latencies_s=[0.1], lines=1)
    judged = quality(["a"], {"a"}, Labels({"a": True}, {"a": hostile}))
    out = io.StringIO()
    show(Report("as streamed", Replayed(tally, 1.0, 0), judged), Console(file=out, force_terminal=True, width=200))
    printed = out.getvalue()
    assert "\x1b[2J" not in printed
    assert "\u202e" not in printed
    assert printed.count(r"\x1b[2J[red]x[/red]\r\n\u202e") == 3
