"""The command: sections are kept and used again, named ones are made again, a failure does not stop the others."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from models.errors import DataError
from training.results.__main__ import SECTIONS, main
from training.results.published import PUBLISHED, published_markdown
from training.results.section import Asked, Pictures, Section, plain, read_record


class Work:
    """Sections that count how often they are made; ``broken`` ones lack their data."""

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()
        self.broken: set[str] = set()

    def section(self, name: str) -> Section:
        def make(asked: Asked) -> dict[str, Any]:
            if name in self.broken:
                raise DataError("no data set")
            self.made[name] += 1
            return {"times": self.made[name], "seeds": asked.seeds}

        return Section(
            name,
            f"About {name}",
            make,
            lambda result, commands, _: f"made {result['times']} with {result['seeds']}: {commands}",
            lambda asked: {"seeds": asked.seeds} if name == "a" else {},
            lambda asked: f"python -m {name} --seeds {asked.seeds}",
        )


@pytest.fixture
def work() -> Work:
    return Work()


def call(work: Work, folder: Path, *extra: str) -> int:
    given = ["--out", str(folder / "docs" / "page.md"), "--cache", str(folder / "cache"), *extra]
    return main(given, [work.section("a"), work.section("b")])


def page(folder: Path) -> str:
    return (folder / "docs" / "page.md").read_text()


def test_made_sections_are_used_again_until_their_request_changes(work: Work, tmp_path: Path) -> None:
    assert call(work, tmp_path) == call(work, tmp_path) == 0
    assert work.made == {"a": 1, "b": 1}
    assert "## About a\n\nmade 1 with 5: python -m a --seeds 5" in page(tmp_path)
    call(work, tmp_path, "--seeds", "2")
    assert work.made == {"a": 2, "b": 1}
    call(work, tmp_path, "--seeds", "2", "--fresh")
    assert work.made == {"a": 3, "b": 2}


def test_named_sections_are_made_again_and_the_page_holds_all_that_are_kept(work: Work, tmp_path: Path) -> None:
    call(work, tmp_path, "--only", "b")
    assert "About a" not in page(tmp_path)
    call(work, tmp_path)
    call(work, tmp_path, "--only", "b")
    assert work.made == {"a": 1, "b": 2}
    assert "About a" in page(tmp_path)
    assert "made 2 with 5" in page(tmp_path)


def test_page_says_when_on_what_and_by_which_command(work: Work, tmp_path: Path) -> None:
    call(work, tmp_path, "--seeds", "3")
    record = read_record(tmp_path / "cache", "a")
    assert record is not None
    text = page(tmp_path)
    assert "python -m training.results --out page.md --seeds 3 --slow-seeds 5 --jobs 2" in text
    assert f"| [About a](#about-a) | {record.made[:10]} | {record.cores} |" in text
    assert f"numpy {record.versions['numpy']}" in text
    assert str(tmp_path) not in text


def test_a_section_without_its_data_is_left_out_and_said(
    work: Work, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work.broken.add("a")
    assert call(work, tmp_path) == 2
    assert "About a" not in page(tmp_path)
    assert "About b" in page(tmp_path)
    assert "a: no data set" in capsys.readouterr().err
    work.broken.add("b")
    assert call(work, tmp_path / "other") == 2
    assert not (tmp_path / "other" / "docs").exists()


def test_a_damaged_record_is_made_again(work: Work, tmp_path: Path) -> None:
    call(work, tmp_path)
    (tmp_path / "cache" / "a.json").write_text('{"section": "a"')
    (tmp_path / "cache" / "b.json").write_text('{"section": "b"}')
    call(work, tmp_path)
    assert work.made == {"a": 2, "b": 2}


def test_json_is_every_section(work: Work, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(work, tmp_path, "--json")
    told = json.loads(capsys.readouterr().out)
    assert [one["section"] for one in told] == ["a", "b"]
    assert told[0]["result"] == {"times": 1, "seeds": 5}


@pytest.mark.parametrize("given", [["--only", "nothing"], ["--seeds", "0"], ["--jobs", "0"]])
def test_what_cannot_be_is_refused(work: Work, tmp_path: Path, given: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        call(work, tmp_path, *given)
    assert stopped.value.code == 2


def test_numbers_that_json_lacks_become_none() -> None:
    assert plain({1: (float("inf"), float("nan"), 2, True, "x", None)}) == {"1": [None, None, 2, True, "x", None]}


def test_every_section_has_commands_and_names_no_path(tmp_path: Path) -> None:
    asked = Asked(tmp_path, 5, 5, 2, lambda *_: None)
    names = [section.name for section in SECTIONS]
    assert names == ["hdfs_keys", "hadoop", "hdfs_60", "hdfs_50", "answers", "lines", "values"]
    for section in SECTIONS:
        assert str(tmp_path) not in section.commands(asked)
        assert section.commands(asked).startswith(("python -m training.", "tocsin "))
    for name in PUBLISHED:
        assert published_markdown(name).startswith("**Published figures; the protocol differs**")


def test_pictures_are_linked_from_the_page(tmp_path: Path) -> None:
    pictures = Pictures(tmp_path / "pictures", "a-")
    assert pictures.link("What", pictures.path("b")) == "![What](pictures/a-b.svg)"
