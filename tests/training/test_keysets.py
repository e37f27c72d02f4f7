"""Key sequences are read as published, and what is wrong is named by file and line."""

from pathlib import Path

import pytest

from models.errors import DataError
from training.keysets import read_hadoop, read_labelled, read_sessions


def test_sessions_are_read_one_a_line(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("5 5 22 \n7\n")
    assert [session.tolist() for session in read_sessions(path)] == [[5, 5, 22], [7]]


def test_labels_are_read_with_their_sessions(tmp_path: Path) -> None:
    path = tmp_path / "labelled.csv"
    path.write_text("Sequence,label\n5 22,0\n7,1\n")
    got = read_labelled(path)
    assert [session.tolist() for session in got.sessions] == [[5, 22], [7]]
    assert got.anomalous.tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5 x\n", "line 1: keys must be whole numbers"),
        ("5\n\n", "line 2: no key"),
        ("5\n0 3\n", "line 2: key 0"),
        ("99999999999999999999\n", "line 1: keys must be"),
        ("", "is empty"),
    ],
)
def test_wrong_sessions_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "train.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_sessions(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5 5,0\n", "line 1: expected the header"),
        ("Sequence,label\n5 5,2\n", "line 2: the label is '2'"),
        ("Sequence,label\n5 5\n", "line 2: the label is"),
    ],
)
def test_wrong_labels_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "labelled.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_labelled(path)


def test_a_missing_file_says_where_data_sets_come_from(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="tocsin datasets download"):
        read_sessions(tmp_path / "absent.txt")


def test_the_published_set_has_its_sessions(datasets_dir: Path) -> None:
    train = read_sessions(datasets_dir / "hdfs_keys" / "train_normal.txt")
    test = read_labelled(datasets_dir / "hdfs_keys" / "labelled.csv")
    assert (len(train), len({session.tobytes() for session in train})) == (4_855, 839)
    assert (int(test.anomalous.sum()), int((~test.anomalous).sum())) == (6_000, 6_000)


def hadoop(folder: Path, train: str = "a,1 2\n", normal: str = "b,1\n", anomalous: str = "c,2 2\nd,9\n") -> Path:
    (folder / "hadoop_train.csv").write_text(train)
    (folder / "hadoop_test_normal.csv").write_text(normal)
    (folder / "hadoop_test_abnormal.csv").write_text(anomalous)
    return folder


def test_hadoop_sessions_are_labelled_by_their_file(tmp_path: Path) -> None:
    train, test = read_hadoop(hadoop(tmp_path))
    assert ([s.tolist() for s in train.sessions], train.anomalous.tolist()) == ([[1, 2]], [False])
    assert [s.tolist() for s in test.sessions] == [[1], [2, 2], [9]]
    assert test.anomalous.tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3\n", "hadoop_test_normal.csv, line 1: no comma"),
        ("a,1\nb,\n", "line 2: no key"),
        ("a,1 x\n", "line 1: keys must be whole numbers"),
        ("", "is empty"),
    ],
)
def test_wrong_hadoop_sessions_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_hadoop(hadoop(tmp_path, normal=text))


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    folder = hadoop(tmp_path)
    (folder / "hadoop_train.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is no text"):
        read_hadoop(folder)


def test_the_published_hadoop_set_has_its_sessions(datasets_dir: Path) -> None:
    train, test = read_hadoop(datasets_dir / "hadoop")
    assert (len(train.sessions), int((~test.anomalous).sum()), int(test.anomalous.sum())) == (17, 150, 811)
    assert max(len(session) for session in test.sessions) == 99_001
