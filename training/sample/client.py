"""One session of the recording: a real client connection, and the observer that knows its session id.

Owns connecting, speaking and leaving, in PostgreSQL's simple and extended protocols. Knows no shop and no fault.
"""

import importlib
import os
import random
import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

from models.errors import TocsinError
from training.sample.schema import PASSWORD
from training.sample.server import ADMIN

Rows: TypeAlias = list[tuple[Any, ...]]

DATABASE = "shop"


class DriverMissingError(TocsinError):
    """The PostgreSQL client library, which only the recorder needs, is not installed."""


def load_driver() -> Any:
    """The ``psycopg`` module (version 3).

    Raises:
        DriverMissingError: it is not installed.
    """
    try:
        return importlib.import_module("psycopg")
    except ImportError as error:
        raise DriverMissingError(
            "the recorder needs the PostgreSQL client psycopg 3: run `pip install 'psycopg[binary]'`"
        ) from error


def _connect(host: Path, user: str, application: str, password: str, **more: object) -> Any:
    return load_driver().connect(
        host=str(host),
        user=user,
        password=password,
        application_name=application,
        autocommit=True,
        prepare_threshold=None,
        **{"dbname": DATABASE, "sslmode": "disable", "gssencmode": "disable", **more},
    )


class Observer:
    """The administrator's connection, unlogged: finds session ids, ends sessions, and keeps the labels."""

    def __init__(self, host: Path, database: str = DATABASE) -> None:
        # Settings of this one connection, so that no line has to be taken out of the log afterwards.
        quiet = "-c log_statement=none -c log_min_messages=panic -c log_disconnections=off"
        self._connection = _connect(host, ADMIN, "recorder", "", options=quiet, dbname=database)
        self._lock = threading.Lock()
        self.labels: dict[str, str] = {}

    def run(self, statement: str, *values: object) -> Rows:
        """Run one statement as the administrator; rows if it gives any."""
        with self._lock:
            cursor = self._connection.execute(statement, values or None)
            return list(cursor.fetchall()) if cursor.description else []

    def mark(self, pid: int, kind: str) -> None:
        """Label the session served by process ``pid`` with a kind of fault."""
        rows = self.run(
            "SELECT to_hex(trunc(extract(epoch FROM backend_start))::bigint) || '.' || to_hex(pid)"
            " FROM pg_stat_activity WHERE pid = %s",
            pid,
        )
        self.labels[str(rows[0][0])] = kind

    def end_session(self, pid: int) -> None:
        """Terminate another session, as an operator or an out-of-memory script would."""
        self.run("SELECT pg_terminate_backend(%s, 5000)", pid)

    def wait_until_alone(self) -> None:
        """Wait until the server has seen every client off, so that each session's last line is in the log."""
        others = "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        while self.run(others):
            time.sleep(0.02)

    def close(self) -> None:
        """Leave."""
        self._connection.close()


class Client:
    """One connection of the shop. A context manager that disconnects properly unless told otherwise.

    Args:
        pause_s: mean seconds of thought before each statement.
        kind: kind of fault that this session is part of; empty for a normal one.
    """

    def __init__(
        self,
        observer: Observer,
        host: Path,
        user: str,
        application: str,
        rng: random.Random,
        pause_s: float,
        kind: str = "",
        password: str = PASSWORD,
    ) -> None:
        self._rng = rng
        self._pause_s = pause_s
        self._driver = load_driver()
        self._connection = _connect(host, user, application, password)
        self._literal = self._driver.ClientCursor(self._connection)
        self._worker: ThreadPoolExecutor | None = None
        self.pid = int(self._connection.info.backend_pid)
        if kind:
            observer.mark(self.pid, kind)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def simple(self, statement: str, *values: object) -> Rows:
        """Run a statement in the simple protocol, its values written into the text as literals."""
        self._think()
        return self._rows(self._literal.execute(statement, values or None))

    def bound(self, statement: str, *values: object) -> Rows:
        """Run a statement in the extended protocol, its values bound as parameters (at least one)."""
        self._think()
        return self._rows(self._connection.execute(statement, values))

    def refused(self, statement: str, *values: object, bound: bool = False) -> str:
        """Run a statement that the server is expected to refuse; the SQLSTATE, or "" where it did not."""
        try:
            (self.bound if bound else self.simple)(statement, *values)
        except self._driver.Error as error:
            return str(error.sqlstate or "lost")
        return ""

    def meanwhile(self, statement: str, *values: object) -> "Future[str]":
        """Start ``refused`` (simple protocol) in the background: for statements that have to wait for a lock."""
        self._worker = self._worker or ThreadPoolExecutor(max_workers=1)
        return self._worker.submit(self.refused, statement, *values)

    def hurry(self) -> None:
        """Think no more before a statement: for sessions whose waits are timed."""
        self._pause_s = 0.0

    def cancel(self) -> None:
        """Ask the server to cancel the running statement, as a closed browser tab does."""
        self._connection.cancel()

    def drop(self) -> None:
        """Go away without a word, as a crashed client or a lost network does."""
        with socket.socket(fileno=os.dup(self._connection.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)
        self.close()

    def close(self) -> None:
        """Disconnect. An open transaction is left to the server to roll back."""
        if self._worker is not None:
            self._worker.shutdown()
        self._connection.close()

    def _think(self) -> None:
        time.sleep(self._rng.uniform(0.3, 1.7) * self._pause_s)

    @staticmethod
    def _rows(cursor: Any) -> Rows:
        return list(cursor.fetchall()) if cursor.description else []


def knock(host: Path, user: str, application: str) -> None:
    """Try to log in with an old password; the server turns the client away."""
    driver = load_driver()
    try:
        _connect(host, user, application, "last-month").close()
    except driver.OperationalError:
        return
