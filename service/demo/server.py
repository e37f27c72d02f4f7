"""The service of the demo: a child process with its own data directory, gone without a trace afterwards.

Owns start, readiness and stop of the child. The directory is new for each run: sessions of an earlier one would be
found there, ended.
"""

import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, NoReturn, Self

import httpx

from models.errors import TocsinError
from service.replay.client import printable

HOST = "127.0.0.1"
START_S = 60.0
STOP_S = 30.0
POLL_S = 0.05
LOG_TAIL_LINES = 15

KEPT = ("TOCSIN_PROVIDER",)
"""Settings of the caller's environment that the demo heeds; others (a Redis, a data directory) are not its business."""


class DemoError(TocsinError):
    """The demo's service does not start, or ended by itself."""


class DemoServer:
    """``tocsin serve`` in a child process; a context manager. ``port`` 0 takes a free one; ``bundles`` is a folder
    (None: the shipped ones)."""

    def __init__(self, port: int, bundles: Path | None = None) -> None:
        self.port = _free_port(port)
        self._bundles = bundles
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._log: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.port}"

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="tocsin-demo-")
        try:
            self._start(Path(self._folder.name))
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # A second Ctrl-C would leave Redis behind.
        handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._stop()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def wait(self) -> NoReturn:
        """Wait for as long as the service runs. Raises DemoError once it has ended by itself."""
        assert self._process is not None
        self._process.wait()
        raise DemoError(f"the service ended by itself; its log ends with:\n{self._log_tail()}")

    def _start(self, folder: Path) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.upper().startswith("TOCSIN_") or k in KEPT}
        environment["TOCSIN_DATA_DIR"] = str(folder)
        if self._bundles is not None:
            environment["TOCSIN_BUNDLES_DIR"] = str(self._bundles.resolve())
        self._log = (folder / "serve.log").open("wb")
        # Its own session: Ctrl-C goes to the demo, which ends the service in order.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve", "--host", HOST, "--port", str(self.port)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_S
        said = "no answer"
        with httpx.Client(base_url=self.url, trust_env=False, timeout=5.0) as client:
            while time.monotonic() < deadline:
                if self._process.poll() is not None:
                    raise DemoError(f"the service did not start; its log ends with:\n{self._log_tail()}")
                try:
                    response = client.get("/readyz")
                    if response.status_code == 200:
                        return
                    said = response.text
                except httpx.TransportError as error:
                    said = str(error)
                time.sleep(POLL_S)
        raise DemoError(f"the service was not ready after {START_S:.0f} s ({said}):\n{self._log_tail()}")

    def _stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._log is not None:
            self._log.close()
        if self._folder is not None:
            self._folder.cleanup()

    def _log_tail(self) -> str:
        assert self._folder is not None
        text = (Path(self._folder.name) / "serve.log").read_text(errors="replace")
        return "\n".join(printable(line) for line in text.split("\n")[-LOG_TAIL_LINES:]).strip() or "(nothing)"


def _free_port(port: int) -> int:
    """The port, once it is known that nothing listens on it; for 0 a free one. Raises DemoError."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of the last run that are not forgotten yet do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            raise DemoError(
                f"port {port} {why}; stop what listens there, or choose another: make demo DEMO_PORT=8001"
            ) from error
        return int(probe.getsockname()[1])
