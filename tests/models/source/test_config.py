"""Reading a source: what is refused and how the error helps."""

from pathlib import Path

import pytest

from models.errors import ConfigError
from models.source import Mask, Source, presets

REGEX = {"kind": "regex", "pattern": r"^(?P<timestamp>\S+) (?P<host>\S+) (?P<message>.*)$"}


def refused(**settings: object) -> str:
    with pytest.raises(ConfigError) as caught:
        Source.from_dict({"name": "shop", "header": REGEX, **settings})
    return str(caught.value)


def test_every_preset_loads_and_reads_back_what_it_wrote() -> None:
    assert set(presets()) == {
        *("bgl", "hadoop", "hadoop_applications", "hdfs", "json", "logfmt", "nginx", "openstack", "postgres", "raw"),
        *("syslog", "thunderbird"),
    }
    for name in presets():
        source = Source.load(name)
        assert source.name == name
        assert Source.from_dict(source.to_dict()) == source


def test_defaults_are_those_of_the_design() -> None:
    source = Source.from_dict({"name": "shop", "header": {"kind": "raw"}})
    assert (source.lateness_s, source.max_line_bytes, source.idle_s) == (60.0, 65_536, None)
    assert (source.drain.depth, source.drain.similarity, source.drain.max_templates) == (4, 0.4, 20_000)
    assert source.session.whole


def test_unknown_setting_is_refused_with_the_nearest_known_name() -> None:
    assert "unknown setting 'mask' in the source: did you mean 'masks'?" in refused(mask=[])
    assert "'window_s'" in refused(session={"windows": 60})
    assert "'similarity'" in refused(drain={"similarty": 0.5})


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"header": {"kind": "regex", "pattern": "(?P<message>.*"}}, "header.pattern"),
        ({"header": {"kind": "regex", "pattern": "(?=a)(?P<message>.*)"}}, "look-around"),
        ({"header": {"kind": "regex", "pattern": "^.*$"}}, "(?P<message>"),
        ({"header": {"kind": "regexp"}}, "'regex'"),
        ({"header": {"kind": "raw", "pattern": "x"}}, "header.pattern has no meaning"),
        ({"header": None}, "header is missing"),
        ({"masks": [{"name": "NUM", "pattern": "["}]}, "masks[0].pattern"),
        ({"masks": [{"name": "NUM", "pattern": "[0-9]*"}]}, "matches the empty text"),
        ({"masks": [{"name": "num", "pattern": "[0-9]"}]}, "upper-case"),
        ({"session": {"pattern": "a*"}}, "session.pattern matches the empty text"),
        ({"session": {"pattern": "a", "whole": True}}, "exactly one"),
        ({"session": {}}, "exactly one"),
        ({"session": {"fields": ["hots"]}}, "'host'"),
        ({"session": {"window_s": 0}}, "session.window_s"),
        ({"timestamp": {"formats": ["%b %d %H:%M:%S"]}}, "timestamp.year"),
        ({"timestamp": {"formats": ["%Y-%m-%d %H:%M:%S.%f"]}}, "%.f"),
        ({"timestamp": {"formats": ["%Y-%m"]}}, "formats[0]"),
        ({"timestamp": {"formats": ["isoo"]}}, "iso"),
        ({"timestamp": {"formats": []}}, "timestamp.formats is missing"),
        ({"timestamp": {"formats": ["iso"], "timezone": "Mars/Olympus"}}, "Europe/Berlin"),
        ({"timestamp": {"formats": ["%b %d %T"], "year": "now"}}, "timestamp.year"),
        ({"header": {"kind": "raw"}, "timestamp": {"formats": ["iso"]}}, "raw"),
        ({"starts_with": "("}, "starts_with"),
        ({"ends_on": ["ok", "("]}, "ends_on[1]"),
        ({"drain": {"similarity": 1.5}}, "at most 1"),
        ({"drain": {"depth": True}}, "drain.depth"),
        ({"idle_s": -1}, "idle_s"),
        ({"max_line_bytes": "64k"}, "max_line_bytes"),
        ({"name": "../etc"}, "name must be"),
    ],
)
def test_wrong_setting_is_refused_by_its_name(settings: dict[str, object], told: str) -> None:
    assert told in refused(**settings)


def test_file_is_read_and_its_path_stands_in_the_error(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text("name: shop\nheader: {kind: raw}\nmasks:\n  - {name: NUM, pattern: '[0-9]+'}\n")
    assert Source.load(path).masks == (Mask("NUM", "[0-9]+"),)
    path.write_text("name: shop\nheader: {kind: raw}\nmaks: []\n")
    with pytest.raises(ConfigError, match=r"shop\.yaml.*masks"):
        Source.load(path)
    path.write_text("name: [\n")
    with pytest.raises(ConfigError, match="no YAML"):
        Source.load(path)


def test_name_that_is_neither_preset_nor_file_names_the_nearest_preset() -> None:
    with pytest.raises(ConfigError, match="did you mean 'postgres'"):
        Source.load("postgress")


def test_fingerprint_changes_with_what_old_state_depends_on_and_with_nothing_else() -> None:
    base = Source.load("hdfs")
    plain = base.to_dict()

    def changed(**settings: object) -> bool:
        return Source.from_dict({**plain, **settings}).fingerprint() != base.fingerprint()

    assert changed(masks=[])
    assert changed(session={"whole": True})
    assert changed(timestamp={"formats": ["%y%m%d %H%M%S"], "timezone": "+01:00"})
    assert changed(starts_with="^[0-9]")
    assert not changed(idle_s=5.0, ends_on=["bye"], max_line_bytes=10, lateness_s=1.0)


def test_more_templates_than_state_can_hold_are_refused() -> None:
    plain = {"name": "s", "header": {"kind": "raw"}, "session": {"whole": True}}
    with pytest.raises(ConfigError, match="max_templates must be at most 20000"):
        Source.from_dict({**plain, "drain": {"max_templates": 20_001}})
