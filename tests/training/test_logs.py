"""Log and label files as people have them: compressed, damaged, of other systems' line ends and spellings."""

import gzip
import hashlib
from pathlib import Path

import pytest

from models.errors import DataError
from training.logs import digest, read_labels, read_lines


def test_lines_of_several_files_follow_each_other_plain_or_gzip(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"one\r\ntwo\n")
    (tmp_path / "b.log.gz").write_bytes(gzip.compress(b"three\n\nfour"))
    assert read_lines([tmp_path / "a.log", tmp_path / "b.log.gz"]) == ["one", "two", "three", "", "four"]


def test_gzip_is_told_by_its_content_not_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(gzip.compress(b"one\n"))
    assert read_lines([tmp_path / "a.log"]) == ["one"]


def test_bytes_that_are_no_utf_8_are_replaced_and_only_line_feeds_end_lines(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"caf\xe9 \x0b \xc2\x85 x\nnext\n")
    assert read_lines([tmp_path / "a.log"]) == ["caf\ufffd \x0b \x85 x", "next"]


TRUNCATED = gzip.compress(b"a line\n" * 50, mtime=0)[:-12]
CORRUPTED = gzip.compress(b"", mtime=0)[:10] + b"\xff" * 30


@pytest.mark.parametrize("content", [TRUNCATED, CORRUPTED, b"\x1f\x8bnothing"])
def test_damaged_gzip_is_an_error_that_names_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read .*bad\.gz"):
        read_lines([tmp_path / "bad.gz"])


def test_missing_file_folder_and_empty_file_are_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.log", tmp_path):
        with pytest.raises(DataError, match="cannot read"):
            read_lines([path])
    (tmp_path / "empty.log").write_bytes(b"")
    with pytest.raises(DataError, match=r"no lines in .*empty\.log"):
        read_lines([tmp_path / "empty.log"])


def test_digest_tells_files_of_one_name_apart(tmp_path: Path) -> None:
    paths = [tmp_path / "a" / "x.log", tmp_path / "b" / "x.log", tmp_path / "y.log"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(path))
    found = digest(paths)
    assert list(found) == [str(paths[0]), str(paths[1]), "y.log"]
    assert found["y.log"] == hashlib.sha256(paths[2].read_bytes()).hexdigest()


def labels_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode())
    return path


def test_labels_are_read_in_their_spellings_and_columns_in_any_order(tmp_path: Path) -> None:
    text = "kind,anomalous,session\nslow,1,a\n,0,b\n,Normal,c\n,TRUE ,d\n,-,e\n"
    labels = read_labels(labels_file(tmp_path, text))
    assert labels.anomalous == {"a": True, "b": False, "c": False, "d": True, "e": False}
    assert labels.kind == {"a": "slow"}


def test_labels_saved_by_a_spreadsheet_are_read(tmp_path: Path) -> None:
    assert read_labels(labels_file(tmp_path, "\ufeffsession,anomalous\r\na,1\r\n")).anomalous == {"a": True}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("session,anomalous\na,0\nb,maybe\n", "line 3: anomalous is 'maybe', not 0 or 1"),
        ("session,anomalous\na,\n", "line 2: anomalous is ''"),
        ("session,anomalous\na\n", "line 2: anomalous is ''"),
        ("session,anomalous\n,1\n", "line 2: no session id"),
        ("session,label\na,0\n", "no column 'anomalous'"),
        ("", "no column 'anomalous'"),
        ("session,anomalous\n", "holds no labels"),
    ],
)
def test_labels_that_cannot_be_read_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_labels(labels_file(tmp_path, text))


def test_labels_that_are_no_text_or_not_there_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    with pytest.raises(DataError, match="cannot read labels"):
        read_labels(path)
    path.write_bytes(gzip.compress(b"session,anomalous\n"))
    with pytest.raises(DataError, match="cannot read labels"):
        read_labels(path)
