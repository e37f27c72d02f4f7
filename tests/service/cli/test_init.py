"""`tocsin init`: from a log to a source file, and what is said where that cannot be."""

import gzip
import json
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from models.errors import ConfigError, DataError
from models.source.config import Source
from service.cli import excerpt
from service.cli.app import app
from service.cli.excerpt import read_excerpt
from tests.golden import blocks


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "block store.log"
    path.write_text("\n".join(blocks.normal_log()) + "\n")
    return path


def test_source_is_written_and_shown(run: CliRunner, log: Path) -> None:
    done = run.invoke(app, ["init", str(log)])
    assert done.exit_code == 0, done.output
    source = Source.load(log.parent / "block-store.yaml")
    assert source.name == "block-store"
    assert source.session.pattern is not None
    for said in ("Masks", "BLK", "Templates", "What could make a session", "0.0% of the lines do not fit"):
        assert said in done.stdout
    assert "tocsin sources block-store.yaml --put" in done.stdout


def test_json_says_the_same(run: CliRunner, log: Path) -> None:
    done = run.invoke(app, ["init", str(log), "--json", "--name", "b", "--out", "mine.yaml"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert Source.from_dict(said["source"]) == Source.load(log.parent / "mine.yaml")
    assert said["file"] == "mine.yaml"
    assert said["preview"]["rejected"] == 0
    assert said["preview"]["sessions"] == 220
    assert said["next"][0] == "tocsin serve"


def test_file_is_not_overwritten_without_force(run: CliRunner, log: Path) -> None:
    own = log.parent / "mine.yaml"
    own.write_text("name: precious\n")
    done = run.invoke(app, ["init", str(log), "--out", str(own)])
    assert isinstance(done.exception, ConfigError)
    assert own.read_text() == "name: precious\n"
    assert run.invoke(app, ["init", str(log), "--out", str(own), "--force"]).exit_code == 0
    assert yaml.safe_load(own.read_text())["name"] == "block-store"


@pytest.mark.parametrize("name", ["a/b", "-x", "x" * 65, ""])
def test_name_that_no_source_may_have_is_refused(run: CliRunner, log: Path, name: str) -> None:
    done = run.invoke(app, ["init", str(log), "--name", name, "--out", "x.yaml"])
    assert (done.exit_code != 0) == (name != "")


def test_gzip_and_standard_input_are_read(run: CliRunner, log: Path) -> None:
    packed = log.with_suffix(".log.1.gz")
    packed.write_bytes(gzip.compress(log.read_bytes()))
    assert read_excerpt([packed]).lines == read_excerpt([log]).lines
    for content in (log.read_bytes(), packed.read_bytes()):
        done = run.invoke(app, ["init", "-", "--name", "piped", "--force"], input=content)
        assert done.exit_code == 0, done.output
        assert Source.load(log.parent / "piped.yaml").session.pattern is not None


def test_large_logs_are_read_at_start_middle_and_end(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(excerpt, "PART_BYTES", 200_000)
    lines = [f"{number:06d} {sha256(bytes(number)).hexdigest()}" for number in range(20_000)]
    log.write_text("\n".join(lines) + "\n")
    packed = log.with_suffix(".gz")
    packed.write_bytes(gzip.compress(log.read_bytes()))
    for path in (log, packed):
        found = read_excerpt([path])
        assert not found.whole
        assert found.lines == sorted(set(found.lines))
        assert set(found.lines) <= set(lines)
        assert found.lines[0] == lines[0]
        assert found.lines[-1] == lines[-1]
        numbers = [int(line.split()[0]) for line in found.lines]
        assert any(9_000 < number < 12_500 for number in numbers)
        assert len(numbers) < 10_000


def test_too_long_lines_are_left_out_and_counted(log: Path) -> None:
    log.write_bytes(b"a\n" + b"x" * 200_000 + b"\nb\n")
    found = read_excerpt([log])
    assert (found.lines, found.too_long) == (["a", "b"], 1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no lines"), (b"\n \n", "no lines"), (b"x" * 300_000, "longer than"),
        (bytes(range(256)) * 300, "no text"),
        ("Zeile\n".encode("utf-16") * 40, "UTF-16"), (b"\x1f\x8b\x08 no gzip", "cannot read"), (None, "cannot read"),
    ],
    ids=["empty", "blank", "one line", "binary", "UTF-16", "damaged", "missing"],
)  # fmt: skip
def test_what_is_no_log_is_said_to_be_none(run: CliRunner, log: Path, content: bytes | None, said: str) -> None:
    if content is None:
        log.unlink()
    else:
        log.write_bytes(content)
    done = run.invoke(app, ["init", str(log), "--name", "x"])
    assert isinstance(done.exception, DataError)
    assert said in str(done.exception)
    assert not (log.parent / "x.yaml").exists()


def test_hostile_lines_do_not_drive_the_terminal_nor_the_file(run: CliRunner, log: Path) -> None:
    evil = "\x1b]0;owned\x07[red]x[/red] {{ boom }}\t# - name: *x &y !!python/object:os.system"
    log.write_text("\n".join(f"2024-01-01 00:00:{i % 60:02d} INFO {evil}" for i in range(200)))
    done = run.invoke(app, ["init", str(log), "--name", "evil"])
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.stdout
    assert Source.load(log.parent / "evil.yaml").header.kind == "regex"
