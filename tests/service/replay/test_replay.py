"""``tocsin replay`` against the real service on a real Redis."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from service.demo.server import DemoServer

CONFIG = {
    "header": {"kind": "regex", "pattern": "^(?P<second>[0-9]+) (?P<message>.*)$"},
    "session": {"pattern": "s[0-9]+"},
    "starts_with": "^[0-9]",
}
LINES = [
    "1 s1 begins",
    "2 s2 begins",
    "3 s1 fails",
    "\tat one",
    "\tat two",
    "4 s2 meets s1",
    "bad",
    "5 s2 ends",
    "6 none",
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service without bundles: it learns."""
    with DemoServer(0, tmp_path_factory.mktemp("bundles")) as server:
        yield server.url


def replay(url: str, source: str, log: Path, *options: str) -> dict[str, Any]:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "service",
            "replay",
            "--url",
            url,
            "--source",
            source,
            "--logs",
            str(log),
            "--json",
            *options,
        ],
        capture_output=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return dict(orjson.loads(done.stdout))


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("one", ["--batch", "3"]),
        ("two", ["--batch", "2", "--connections", "2"]),
        ("three", ["--batch", "3", "--end-markers", "--gzip"]),
        ("four", ["--batch", "2", "--end-markers", "--connections", "2"]),
        ("five", ["--batch", "2", "--end-markers", "--connections", "2", "--no-wait"]),
    ],
)
def test_every_line_comes_back_with_its_verdict(service: str, tmp_path: Path, source: str, options: list[str]) -> None:
    assert httpx.put(f"{service}/sources/{source}", json=CONFIG, trust_env=False).status_code == 200
    log = tmp_path / "shop.log"
    log.write_text("\n".join(LINES) + "\n")
    labels = tmp_path / "labels.csv"
    labels.write_text("session,anomalous,kind\ns1,1,failure\ns2,0,\n")
    report = replay(service, source, log, "--labels", str(labels), *options)
    assert report["lines"] == len(LINES)
    # s1 begins, s2 begins, s1 fails, s2 and s1 meet, s2 ends; the line without a session is rejected.
    assert report["verdicts"]["line"] == {"seen": 6, "anomalous": 0}
    assert [rejection["line"] for rejection in report["rejections"]] == [9]
    marked = "--end-markers" in options
    assert report["verdicts"]["session"]["seen"] == (2 if marked else 0)
    assert report["sessions_live"] == (0 if marked else 2)
    assert ("with end markers" in report["protocol"]) == marked
    assert (report["quality"]["fn"], report["quality"]["tn"]) == (1, 1)
    assert report["quality"]["recall_by_kind"] == {"failure": {"caught": 0, "of": 1}}


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--source", "nowhere"], 1, "no source"),
        (["--source", "nowhere", "--train-share", "0.5"], 2, "--labels"),
        (["--source", "nowhere", "--batch", "0"], 2, "--batch"),
    ],
)
def test_exit_codes_tell_failure_from_wrong_usage(
    service: str, tmp_path: Path, options: list[str], code: int, said: str
) -> None:
    log = tmp_path / "shop.log"
    log.write_text("1 s1 begins\n")
    done = subprocess.run(
        [sys.executable, "-m", "service", "replay", "--url", service, "--logs", str(log), *options],
        capture_output=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == code
    assert said in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()
