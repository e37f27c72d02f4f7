"""``tocsin serve`` and ``tocsin learner`` as processes that can be killed, paused and started again.

Owns a process and where it listens. Its output goes to a file, of which errors show the end.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

PATIENCE_S = 180.0
"""A process starts in a second or two, and in far more on a machine that is busy with others."""
POLL_S = 0.02
_LISTENING = re.compile(r"listening on (http://[0-9.]+:[0-9]+)")


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has taken (Linux)."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class Process:
    """One command of Tocsin with settings of its own, none of this process's environment."""

    def __init__(self, name: str, folder: Path, words: list[str], settings: Mapping[str, object]) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        self._words = words
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.extra: dict[str, str] = {}
        """Further variables of its environment from its next start on."""

    def start(self) -> None:
        """Start it afresh."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
        own = {f"TOCSIN_{name.upper()}": str(value) for name, value in self._settings.items()}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "service", *self._words],
                env={**inherited, **own, **self.extra}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Exit status; None while it lives."""
        return None if self._process is None else self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """The end of a run, whatever it was doing."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def log(self) -> str:
        """What it wrote since its start."""
        with contextlib.suppress(OSError):
            return self._log.read_text(errors="replace")
        return ""

    def cpu_s(self) -> float:
        """Seconds of CPU that it has taken."""
        return cpu_s(self.pid)

    def rss_mib(self) -> float:
        """Resident memory, MiB (Linux)."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0


class Replica(Process):
    """``tocsin serve`` on a free port, another one after each start."""

    def __init__(self, name: str, folder: Path, settings: Mapping[str, object]) -> None:
        super().__init__(name, folder, ["serve"], {**settings, "port": 0})
        self.url = "http://127.0.0.1:9"
        """Where it listens; before that a port that nobody listens on."""

    def wait_ready(self) -> None:
        """Return once it can judge. Raises RuntimeError where it does not come up. Blocking."""
        deadline = time.monotonic() + PATIENCE_S
        while not self._ready():
            if self.status is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not come up: {self.log()[-1500:]}")
            time.sleep(POLL_S)

    def _ready(self) -> bool:
        found = _LISTENING.search(self.log())
        if found is None:
            return False
        self.url = found.group(1)
        try:
            return httpx.get(f"{self.url}/readyz", timeout=10.0, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False
