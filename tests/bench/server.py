"""A service as users start it: a child process with an embedded Redis, on a free port, in a folder of its own."""

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import redis

from service.state.embedded import attach
from tests.processes import clients_of, workers_of

READY_WITHIN_S = 60.0
STOPPED_WITHIN_S = 30.0
_SAMPLE = re.compile(r'^tocsin_stage_seconds_(sum|count)\{stage="([a-z_]+)"\} ([0-9.e+-]+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Service:
    """A running service. ``ready_s``: seconds from the start of the process to the first 200 of /readyz."""

    port: int
    pid: int
    data_dir: Path
    ready_s: float

    def connection(self) -> http.client.HTTPConnection:
        """A connection that is kept alive."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def rss_mib(self) -> float:
        """Resident memory of the service's process, MiB (Linux); its Redis is another process."""
        return _rss_mib(self.pid)

    def redis_rss_mib(self) -> float:
        """Resident memory of its Redis, MiB."""
        with contextlib.closing(redis.Redis.from_url(attach(self.data_dir))) as client:
            return int(client.info("memory")["used_memory_rss"]) / 2**20

    def loaded(self, library: str) -> bool:
        """Whether a shared library with this in its name is mapped into the process."""
        return library in Path(f"/proc/{self.pid}/maps").read_text()

    def stages(self) -> dict[str, tuple[float, int]]:
        """Stage -> (seconds spent, times) since the start."""
        found: dict[str, dict[str, float]] = {}
        for kind, stage, value in _SAMPLE.findall(self.metrics()):
            found.setdefault(stage, {})[kind] = float(value)
        return {stage: (sample["sum"], int(sample["count"])) for stage, sample in found.items()}

    def metrics(self) -> str:
        """/metrics as it is."""
        with contextlib.closing(self.connection()) as connection:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()


@contextlib.contextmanager
def serving(data_dir: Path, workers: int = 1) -> Iterator[Service]:
    """Start ``tocsin serve`` on ``data_dir``, wait until it is ready, and stop it afterwards."""
    port = _free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    environment |= {"TOCSIN_DATA_DIR": str(data_dir), "TOCSIN_PROVIDER": "cpu"}
    log = data_dir / "serve.log"
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve", "--port", str(port), "--workers", str(workers)],
            env=environment,
            stdout=output,
            stderr=output,
        )
        try:
            try:
                wait_ready(port, process)
            except RuntimeError as error:
                raise RuntimeError(f"{error}:\n{log.read_text()[-2000:]}") from error
            if workers > 1:
                _wait_for_all(port, process.pid, workers)
            yield Service(port, process.pid, data_dir, time.perf_counter() - began)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOPPED_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_ready(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Return once ``/readyz`` on ``port`` says 200. Raises RuntimeError where ``process`` ends or takes too long."""
    began = time.perf_counter()
    while not _ready(port):
        if process.poll() is not None or time.perf_counter() - began > READY_WITHIN_S:
            raise RuntimeError("the service did not get ready")
        time.sleep(0.02)


def _wait_for_all(port: int, parent: int, workers: int) -> None:
    """Return once every worker process takes connections: the first to be ready would have all that begin before."""
    began = time.perf_counter()
    while time.perf_counter() - began < READY_WITHIN_S:
        with contextlib.ExitStack() as ended:
            for _ in range(workers):
                connection = ended.enter_context(socket.create_connection(("127.0.0.1", port), 5))
                connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: tocsin\r\n\r\n")
                connection.recv(1)
            if all(len(clients_of(worker, port)) == 1 for worker in workers_of(parent)):
                break
        time.sleep(0.1)
    else:
        raise RuntimeError(f"{workers} worker processes did not all take connections")
    while any(clients_of(worker, port) for worker in workers_of(parent)):
        time.sleep(0.02)


def _ready(port: int) -> bool:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
