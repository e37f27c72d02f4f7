"""A real Redis of a run's own, which can be killed, paused, denied its disk, and started again on what it left.

Owns the process and its folder.
"""

import contextlib
import resource
import signal
import subprocess
import time
from pathlib import Path

import redis

from service.state.embedded import find_server
from tests.faults.replica import cpu_s

READY_WITHIN_S = 60.0
POLL_S = 0.02


class RedisServer:
    """``redis-server`` on a Unix socket, its append-only file synced at every write. Blocking calls."""

    def __init__(self, folder: Path, *, fsync: str = "always") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._fsync = fsync
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = str(folder / "r.sock")
        self.url = f"unix://{self.socket}"

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it and wait until it has read its file and answers. Raises RuntimeError where it does not come up."""
        with (self._folder / "redis.log").open("ab") as log:
            # Without restored signals: past a limit on file sizes a write fails, as on a full disk, and kills nobody.
            self._process = subprocess.Popen(
                [
                    find_server(), "--port", "0", "--unixsocket", self.socket, "--dir", str(self._folder),
                    "--appendonly", "yes", "--appendfsync", self._fsync, "--save", "", "--maxmemory-policy",
                    "noeviction", "--auto-aof-rewrite-percentage", "0", "--daemonize", "no",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, restore_signals=False,
            )  # fmt: skip
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._answers():
            if not self.running or time.monotonic() > deadline:
                raise RuntimeError(f"redis-server did not come up: {self.log()}")
            time.sleep(POLL_S)

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """SIGSTOP."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def fill_disk(self) -> None:
        """From now on no file of it may grow: its next write to the append-only file fails."""
        assert self._process is not None
        largest = max(path.stat().st_size for path in self._folder.rglob("*") if path.is_file())
        _, hard = resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (largest, hard))

    def free_disk(self) -> None:
        """Its files may grow again."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            _, hard = resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (hard, hard))

    def cpu_s(self) -> float:
        """Seconds of CPU that it has taken."""
        assert self._process is not None
        return cpu_s(self._process.pid)

    def stop(self) -> None:
        """The end of a run, whatever it was doing."""
        if self._process is not None and self._process.poll() is None:
            self.resume()
            self.kill()

    def log(self) -> str:
        """The end of its log."""
        with contextlib.suppress(OSError):
            return (self._folder / "redis.log").read_text(errors="replace")[-1500:]
        return ""

    def _answers(self) -> bool:
        if not Path(self.socket).exists():
            return False
        with contextlib.closing(redis.Redis(unix_socket_path=self.socket, socket_timeout=5.0)) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False
