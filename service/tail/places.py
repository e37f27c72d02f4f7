"""Up to where each log was sent, in one JSON file that survives a crash, a second tail and a full disk.

Owns the file and its lock. A piece is noted before it is sent, so that after a crash the same piece goes again under
the same key. Does not know how a file is found again by its place.
"""

import fcntl
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import orjson

from service.tail.file import Piece, Place, TailError

VERSION = 1


class Places:
    """Places by log, kept at ``path``. A context manager: one process at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: int | None = None
        self._logs: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        """Raises TailError where the file cannot be had, is another tail's, or does not read."""
        lock = self._path.with_name(f"{self._path.name}.lock")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.__exit__()
            raise TailError(
                f"another `tocsin tail` keeps its places in {self._path}; stop it, or name another file with --state"
            ) from None
        except OSError as error:
            self.__exit__()
            raise TailError(f"cannot keep places in {self._path}: {error.strerror}; see --state") from error
        try:
            self._logs = self._read()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def of(self, log: Path) -> tuple[Place | None, int | None]:
        """Up to where a log was acknowledged, and up to where it was sent after that, if it was."""
        kept = self._logs.get(str(log))
        return (None, None) if kept is None else (Place(**kept["place"]), kept["until"])

    def keep(self, log: Path, place: Place) -> None:
        """A log was opened at ``place``. Raises TailError."""
        self._store(log, place, None)

    def sending(self, log: Path, place: Place, piece: Piece) -> None:
        """A piece goes out from ``place`` on. Raises TailError where that cannot be noted."""
        self._store(log, place, piece.after.offset)

    def sent(self, log: Path, piece: Piece) -> None:
        """It was acknowledged. Raises TailError."""
        self._store(log, piece.after, None)

    def _store(self, log: Path, place: Place, until: int | None) -> None:
        self._logs[str(log)] = {"place": asdict(place), "until": until}
        written = ""
        try:
            with tempfile.NamedTemporaryFile(dir=self._path.parent, prefix=f"{self._path.name}.", delete=False) as file:
                written = file.name
                file.write(orjson.dumps({"version": VERSION, "logs": self._logs}, option=orjson.OPT_INDENT_2))
                file.flush()
                os.fsync(file.fileno())
            Path(written).replace(self._path)
        except OSError as error:
            with suppress(OSError):
                Path(written).unlink()
            raise TailError(f"cannot keep places in {self._path}: {error.strerror}") from error

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            kept = orjson.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, orjson.JSONDecodeError) as error:
            raise TailError(f"cannot read the places in {self._path} ({error}); move it away to begin anew") from error
        try:
            if kept["version"] != VERSION:
                raise ValueError(f"version {kept['version']}")
            logs: dict[str, dict[str, Any]] = dict(kept["logs"])
            for one in logs.values():
                place, until = Place(**one["place"]), one["until"]
                numbers = (place.device, place.inode, place.offset, 0 if until is None else until)
                if not all(isinstance(number, int) and number >= 0 for number in numbers):
                    raise ValueError("an offset is no number")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise TailError(
                f"{self._path} does not hold places of `tocsin tail` ({error}); move it away to begin anew"
            ) from error
        return logs
