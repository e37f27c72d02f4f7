"""The demo as people run it, in processes of its own."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import pytest

from models.bundles import SHIPPED
from service.demo.server import DemoError, DemoServer
from tests.conftest import skip_or_fail

DEMO = [sys.executable, "-m", "service", "demo"]


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the demo puts its data directory: empty again afterwards, and no Redis runs in it."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def shipped() -> None:
    """Skips where the shipped bundle is not there."""
    if not list((SHIPPED / "postgres").glob("*/manifest.json")):
        skip_or_fail("no shipped bundle for postgres (make train-sample)")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A child starts with the SIGINT of a terminal: whatever a shell runs in the background is told to ignore it, tests
    too, and a demo that inherits that would never stop."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def processes_of(folder: Path) -> list[str]:
    """Command lines of this machine's processes that name the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder) in words:
            found.append(words)
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("shipped")
def test_demo_reaches_the_stated_figures_and_leaves_nothing_behind(scratch: Path) -> None:
    done = subprocess.run([*DEMO, "--port", "0", "--exit", "--json"], capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode()
    figures = orjson.loads(done.stdout)
    assert figures["missed"] == []
    assert figures["rejected"] == 0
    assert figures["sessions_live"] == 0
    assert figures["comparison"]["grep"]["recall"] < figures["comparison"]["tocsin"]["recall"]
    assert list(scratch.glob("tocsin-demo-*")) == []
    assert processes_of(scratch) == []


@pytest.mark.slow
@pytest.mark.usefixtures("shipped", "interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_serves_until_told_to_stop(scratch: Path, number: signal.Signals) -> None:
    running = subprocess.Popen(
        [*DEMO, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    with running:
        assert running.stdout is not None
        printed = ""
        for line in running.stdout:
            printed += line
            if "serving until" in line:
                break
        assert "serving until" in printed, printed
        incidents = line.split("incidents at ")[1].split(",")[0]
        assert httpx.get(incidents, trust_env=False).json()["incidents"]
        running.send_signal(number)
        printed += running.stdout.read()
        assert running.wait(60) == 0
    assert "Traceback" not in printed
    assert list(scratch.glob("tocsin-demo-*")) == []
    assert processes_of(scratch) == []


def test_port_in_use_is_said() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(DemoError, match=f"port {port} is in use"):
            DemoServer(port)


def test_service_that_does_not_start_shows_its_log(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_PROVIDER", "abacus")
    with pytest.raises(DemoError, match="settings: provider"), DemoServer(0):
        pass
    assert list(scratch.glob("tocsin-demo-*")) == []
