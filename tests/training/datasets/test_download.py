"""Downloads go on where they were cut off, and keep nothing that its publisher does not describe."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from models.errors import ConfigError, DataError
from training.datasets.catalogue import DATASETS, dataset_of
from training.datasets.download import download

CONTENT = np.random.default_rng(0).bytes(3_000_000)
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


class Publisher(BaseHTTPRequestHandler):
    """Serves ``CONTENT``: at /file with ranges, at /plain without, at /cut half of it and then nothing."""

    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append(self.headers.get("Range", ""))
        begin = 0
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path != "/plain" and self.headers.get("Range"):
            begin = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT) - begin))
        self.end_headers()
        stop = len(CONTENT) // 2 if self.path == "/cut" else len(CONTENT)
        self.wfile.write(CONTENT[begin:stop])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def publisher() -> Iterator[str]:
    Publisher.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Publisher)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_was_cut_off_is_continued(publisher: str, tmp_path: Path) -> None:
    target = tmp_path / "sets" / "file.zip"
    with pytest.raises(ConfigError, match="run this again"):
        download(f"{publisher}/cut", target, len(CONTENT), MD5)
    assert not target.exists()
    told: list[tuple[int, int]] = []
    download(f"{publisher}/file", target, len(CONTENT), MD5, lambda done, size: told.append((done, size)))
    assert target.read_bytes() == CONTENT
    assert Publisher.asked == ["", f"bytes={len(CONTENT) // 2}-"]
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert list(target.parent.iterdir()) == [target]


def test_a_server_without_ranges_is_read_from_the_start(publisher: str, tmp_path: Path) -> None:
    (tmp_path / "file.zip.part").write_bytes(b"old")
    assert download(f"{publisher}/plain", tmp_path / "file.zip", len(CONTENT), MD5).read_bytes() == CONTENT


def test_what_lies_there_already_is_not_fetched_again(publisher: str, tmp_path: Path) -> None:
    (tmp_path / "file.zip").write_bytes(CONTENT)
    download(f"{publisher}/file", tmp_path / "file.zip", len(CONTENT), MD5)
    assert Publisher.asked == []


@pytest.mark.parametrize(("size", "md5"), [(len(CONTENT), "0" * 32), (len(CONTENT) - 1, MD5)])
def test_another_content_than_described_is_not_kept(publisher: str, tmp_path: Path, size: int, md5: str) -> None:
    with pytest.raises(DataError, match="publisher describes"):
        download(f"{publisher}/file", tmp_path / "file.zip", size, md5)
    assert not (tmp_path / "file.zip").exists()


def test_publishers_that_are_away_are_named_with_what_to_do(publisher: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="404"):
        download(f"{publisher}/missing", tmp_path / "file.zip", 1, MD5)
    with pytest.raises(ConfigError, match=r"cannot be reached.*file\.zip"):
        download("http://127.0.0.1:1/file", tmp_path / "file.zip", 1, MD5)


def test_catalogue_names_what_there_is() -> None:
    assert dataset_of("hdfs").url.endswith("/HDFS_v1.zip")
    assert all(len(dataset.md5) == 32 and dataset.size > 0 for dataset in DATASETS.values())
    with pytest.raises(ConfigError, match="there are hdfs"):
        dataset_of("nothing")
    with pytest.raises(ConfigError, match="logdeep"):
        dataset_of("hdfs_keys")
