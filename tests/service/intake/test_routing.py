"""Which source an entry goes to, what makes its session, and how it becomes a record of that source."""

from pathlib import Path
from typing import Any

import pytest

from models.errors import ConfigError
from models.source.config import Source
from service.cli.serve import serve
from service.intake.entry import Decoded, Entry, Labels
from service.intake.request import build
from service.intake.routing import Routing

RULES = """
routes:
  - when: {service.name: "shop-*", env: prod}
    source: shop
  - when: {env: "*"}
    source: rest
sessions:
  shop: trace_id
  rest: [host, process]
"""


def entry(index: int = 0, line: str = "line", stream: Labels | None = None, **given: Any) -> Entry:
    """An entry with labels; times and a document may be among them."""
    own = {name: given.pop(name) for name in ("time_ns", "seen_ns", "document") if name in given}
    return Entry(index, line, Labels({k.replace("_dot_", "."): v for k, v in given.items()}.get, stream), **own)


def divided(routing: Routing, *entries: Entry, named: str | None = None) -> tuple[dict[str, list[int]], dict[int, str]]:
    decoded = Decoded(list(entries))
    found = routing.divide(decoded, named, ("service.name", "job"))
    return {source: [e.index for e in these] for source, these in found.items()}, decoded.errors


def test_without_rules_the_usual_names_of_the_stream_say_the_source() -> None:
    shop, nameless = Labels({"service.name": "shop", "job": "x"}.get), Labels({"job": ""}.get)
    found, errors = divided(
        Routing(), entry(0, stream=shop), entry(1, job="cron"), entry(2, stream=nameless), entry(3, stream=shop)
    )
    assert found == {"shop": [0, 3], "cron": [1]}
    assert list(errors) == [2]
    assert "service.name, job" in errors[2]
    assert "?source=NAME" in errors[2]


def test_the_first_route_that_fits_wins_and_the_request_stands_above_all(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    routing = Routing.load(tmp_path / "rules.yaml")
    entries = [
        entry(0, service_dot_name="shop-7", env="prod"),
        entry(1, service_dot_name="shop-7", env="test"),
        entry(2, service_dot_name="shop-7"),
    ]
    assert divided(routing, *entries)[0] == {"shop": [0], "rest": [1], "shop-7": [2]}
    assert divided(routing, *entries, named="mine") == ({"mine": [0, 1, 2]}, {})
    assert divided(routing, named="mine") == ({}, {})


def test_configured_names_make_the_session(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    routing = Routing.load(tmp_path / "rules.yaml")
    raw = {"header": {"kind": "raw"}}
    request = build(
        Source.from_dict({"name": "rest", **raw}),
        [entry(host="a", process="b"), entry(process="b"), entry(other="c"), entry(host="h" * 600)],
        routing,
    )
    assert request.sessions == ["a/b", "-/b", None]
    assert [(error.index, error.error) for error in request.rejected] == [(3, "its session is over 512 bytes")]
    assert (request.received, request.index) == (4, [0, 1, 2])
    assert build(Source.from_dict({"name": "other", **raw}), [entry(host="a")], routing).sessions is None


def test_a_source_whose_session_is_made_of_fields_finds_them_among_the_names() -> None:
    config = {"name": "web", "header": {"kind": "json", "fields": ["request"]}, "session": {"fields": ["request"]}}
    request = build(Source.from_dict(config), [entry(request="r-1"), entry()], Routing())
    assert request.fields == [{"request": "r-1"}, None]


def test_a_given_time_stands_above_the_line_and_a_seen_one_below_it() -> None:
    timeless = Source.from_dict({"name": "raw", "header": {"kind": "raw"}})
    entries = [entry(time_ns=1_500_000_000, seen_ns=9), entry(seen_ns=2_000_000_000), entry()]
    assert build(timeless, entries, Routing()).times == [1.5, 2.0, None]
    assert build(Source.load("hdfs"), entries, Routing()).times == [1.5, None, None]


def test_only_sources_of_json_get_the_whole_document() -> None:
    entries = [entry(line="text", document='{"message":"text"}'), entry(line='{"msg":1}', document="{}"), entry()]
    assert build(Source.load("json"), entries, Routing()).lines == ['{"message":"text"}', '{"msg":1}', "line"]
    assert build(Source.load("raw"), entries, Routing()).lines == ["text", '{"msg":1}', "line"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "must be a mapping"),
        ("route: []", "did you mean 'routes'"),
        ("routes: {}", "intake.routes must be a list"),
        ("routes: [{source: a}]", r"intake.routes\[0\].when must be a mapping"),
        ("routes: [{when: {a: 5}, source: a}]", r"routes\[0\].when.a must be a text"),
        ("routes: [{when: {a: b}}]", r"routes\[0\].source is missing"),
        ("sessions: [a]", "intake.sessions must be a mapping"),
        ("sessions: {a: 5}", "intake.sessions.a must be a text or a list"),
        ("{oops", "cannot read intake rules"),
    ],
)
def test_wrong_rules_are_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "rules.yaml").write_text(text)
    with pytest.raises(ConfigError, match=says):
        Routing.load(tmp_path / "rules.yaml")


def test_rules_that_are_not_there_are_an_error_and_empty_ones_are_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read intake rules"):
        Routing.load(tmp_path / "absent.yaml")
    (tmp_path / "rules.yaml").write_text("# nothing yet\n")
    assert Routing.load(tmp_path / "rules.yaml") == Routing.load(None) == Routing()


def test_wrong_rules_end_the_service_before_it_has_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rules.yaml").write_text("routes: 5")
    monkeypatch.setenv("TOCSIN_INTAKE_RULES", str(tmp_path / "rules.yaml"))
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "data"))
    with pytest.raises(ConfigError, match=r"intake\.routes must be a list"):
        serve(workers=2)
    assert not (tmp_path / "data").exists()
