"""A private PostgreSQL server: its own directory, its own socket, its own log, gone when it stops.

Owns the server's life and settings. Knows nothing of the shop or of who connects.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from models.errors import TocsinError
from training.sample.lines import LOG_LINE_PREFIX

ADMIN = "shop_admin"
_READY = "database system is ready to accept connections"
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 60.0

# Without fsync a commit never waits for a disk: only a statement's own work makes it slow, so that the same
# workload writes the same lines on a slow disk. `jit` and parallel workers would add their own noise.
_SETTINGS = {
    "listen_addresses": "''",
    "unix_socket_directories": "'.'",
    # The log quotes this file's path; by way of /proc it reads the same on every machine.
    "hba_file": "'/proc/self/cwd/pg_hba.conf'",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "'256MB'",
    "work_mem": "'4MB'",
    "temp_file_limit": "'48MB'",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "deadlock_timeout": "'100ms'",
    "checkpoint_timeout": "'30s'",
    "autovacuum_naptime": "'15s'",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "log_line_prefix": f"'{LOG_LINE_PREFIX}'",
    "log_statement": "'all'",
    "log_min_duration_statement": "'300ms'",
    "log_lock_waits": "on",
    "log_checkpoints": "on",
    "log_autovacuum_min_duration": "0",
    "log_temp_files": "0",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}


class ServerError(TocsinError):
    """The private PostgreSQL server is missing, did not start or did not stop."""


def find_binaries() -> Path:
    """Folder with ``initdb`` and ``postgres``, the newest version first.

    Raises:
        ServerError: no PostgreSQL server is installed.
    """
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -float(path.parent.name))
    on_path = shutil.which("initdb")
    candidates = [*debian, *([Path(on_path).resolve().parent] if on_path else [])]
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise ServerError("no PostgreSQL server found: install one, for example with `apt-get install postgresql`")


def _unprivileged_account() -> pwd.struct_passwd | None:
    """The account that the server runs under when we are root, which PostgreSQL refuses; else None (our own)."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ServerError(
        "PostgreSQL refuses to run as root and there is no account `postgres` or `nobody`: run as another user"
    )


class Server:
    """A context manager: inside it the server accepts connections on the socket folder ``socket_dir``.

    Args:
        log_path: file that the server's own standard error is appended to, as it comes.

    Raises:
        ServerError: PostgreSQL is not installed, or did not start or stop in time.
    """

    def __init__(self, log_path: Path) -> None:
        self.log_path = log_path
        self._binaries = find_binaries()
        self._account = _unprivileged_account()
        self._root = Path(tempfile.mkdtemp(prefix="tocsin-sample-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket_dir(self) -> Path:
        """Absolute folder of the unix socket: what a client passes as ``host``."""
        return self._root / "data"

    def version(self) -> str:
        """What ``postgres --version`` prints."""
        command = [str(self._binaries / "postgres"), "--version"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._abandon()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._abandon()

    def stop(self) -> None:
        """Shut down in the "fast" mode and wait, so that the log ends with the server's last line."""
        if self._process is None:
            return
        if self._process.poll() is None:
            # `pg_ctl` would need the server's own account; its "fast" mode is this signal.
            self._process.send_signal(2)
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise ServerError(f"PostgreSQL did not stop within {_STOP_TIMEOUT_S:.0f} s") from None
        self._process = None

    def _start(self) -> None:
        data = self.socket_dir
        if self._account is not None:
            os.chown(self._root, self._account.pw_uid, self._account.pw_gid)
        initdb = [str(self._binaries / "initdb"), "-D", str(data), "-U", ADMIN, "--no-sync"]
        done = self._popen([*initdb, "--locale=C", "--encoding=UTF8", "--auth=trust"], subprocess.PIPE)
        output, _ = done.communicate()
        if done.returncode != 0:
            raise ServerError(f"initdb failed: {output.decode(errors='replace').strip()}")
        settings = "".join(f"{name} = {value}\n" for name, value in _SETTINGS.items())
        (data / "postgresql.auto.conf").write_text(settings)
        (data / "pg_hba.conf").write_text(f"local all {ADMIN} trust\nlocal all all scram-sha-256\n")
        with self.log_path.open("ab") as log:
            self._process = self._popen([str(self._binaries / "postgres"), "-D", str(data)], log.fileno())
        self._wait_until_ready()

    def _popen(self, command: Sequence[str], output: int) -> subprocess.Popen[bytes]:
        account = self._account
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output if output != subprocess.PIPE else subprocess.STDOUT,
            cwd=self._root,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        )

    def _wait_until_ready(self) -> None:
        # Read from the log: a connection attempt that comes too early would itself be logged.
        deadline = time.monotonic() + _START_TIMEOUT_S
        while _READY not in self.log_path.read_text():
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"PostgreSQL did not start: {self.log_path.read_text().strip()[-500:]}")
            time.sleep(0.05)

    def _abandon(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._root, ignore_errors=True)
