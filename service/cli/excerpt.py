"""An excerpt of logs: lines from the start, the middle and the end, whatever their size.

Owns how files are read: plain or gzip, standard input, never more than a few megabytes at a time. Does not know what a
line means.
"""

import gzip
import io
import sys
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from models.errors import DataError

PART_LINES = 7_000
PART_BYTES = 4 * 2**20
LONGEST = 65_536
"""Bytes of a line; longer ones are left out, as the service would reject them."""
UNPACKED = 2**31
"""Bytes that are unpacked of one file at most."""
STDIN = Path("-")


class Readable(Protocol):
    """What lines can be read from."""

    def readline(self, size: int = -1, /) -> bytes:
        """The next bytes up to a line feed, at most ``size``."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Lines in the log's order, how many were ``too_long``, and whether that is all of it."""

    lines: list[str]
    too_long: int
    whole: bool


def read_excerpt(paths: Sequence[Path]) -> Excerpt:
    """An excerpt of files in the order given; ``-`` is standard input, of which only the start is read.

    Raises DataError where a file is missing, damaged or empty.
    """
    part = max(100, PART_LINES // len(paths))
    found = [_read(path, part) for path in paths]
    lines = [line for one in found for line in one.lines]
    too_long = sum(one.too_long for one in found)
    if not any(line.strip() for line in lines):
        names = ", ".join(map(str, paths))
        if too_long:
            raise DataError(f"every line of {names} is longer than {LONGEST:,} bytes: is this a log?")
        raise DataError(f"no lines in {names}: nothing to look at")
    return Excerpt(lines, too_long, all(one.whole for one in found))


def _read(path: Path, part: int) -> Excerpt:
    try:
        if path == STDIN:
            return _start(sys.stdin.buffer, 3 * part)
        if path.is_dir():
            raise DataError(f"cannot read {path}: it is a folder; name the files")
        with path.open("rb") as file:
            size = path.stat().st_size if path.is_file() else None
            if size is None:
                return _start(file, 3 * part)
            if file.read(2) == b"\x1f\x8b":
                file.seek(0)
                with gzip.GzipFile(fileobj=file) as unpacked:
                    return _thirds(unpacked, part, lambda: 2 * file.tell() >= size)
            file.seek(0)
            if size <= 3 * PART_BYTES:
                return _thirds(file, part, lambda: 2 * file.tell() >= size)
            return _seek(file, size, part)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}") from error


def _start(file: BinaryIO, limit: int) -> Excerpt:
    """The first lines of what cannot be sought in."""
    reader = io.BufferedReader(file)  # type: ignore[type-var]
    source: Readable = gzip.GzipFile(fileobj=reader) if reader.peek(2)[:2] == b"\x1f\x8b" else reader
    lines = _Lines(source)
    taken = lines.take(limit)
    return Excerpt(taken, lines.too_long, len(taken) < limit)


def _seek(file: BinaryIO, size: int, part: int) -> Excerpt:
    """Parts of a large plain file, each begun at the first whole line."""
    lines = _Lines(file)
    taken = lines.take(part)
    for at in (size // 2, size - PART_BYTES):
        file.seek(max(at, file.tell()))
        lines.skip()
        taken += lines.take(part)
    return Excerpt(taken, lines.too_long, False)


def _thirds(file: Readable, part: int, past_half: Callable[[], bool]) -> Excerpt:
    """Parts of what is read from start to end."""
    lines = _Lines(file)
    first = lines.take(part)
    before, after = _Tail(part), _Tail(part)
    middle: _Tail | None = None
    for line in lines:
        if middle is None and before.dropped and past_half():
            middle = _Tail(part)
        if middle is None:
            before.add(line)
        elif not middle.full:
            middle.add(line)
        else:
            after.add(line)
    rest = [*(before if middle is None else middle).kept, *after.kept]
    whole = middle is None and not before.dropped and lines.read <= UNPACKED
    return Excerpt(first + rest, lines.too_long, whole)


class _Tail:
    """The newest lines, at most ``limit`` and about ``PART_BYTES``."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self.kept: deque[str] = deque()
        self.dropped = False

    @property
    def full(self) -> bool:
        """Whether another line would push one out."""
        return len(self.kept) >= self._limit or self._size >= PART_BYTES

    def add(self, line: str) -> None:
        """Keep a line in the place of the oldest."""
        while self.kept and self.full:
            self._size -= len(self.kept.popleft())
            self.dropped = True
        self.kept.append(line)
        self._size += len(line)


class _Lines:
    """Lines of a file without their ends; those that are too long are passed over in pieces."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        self.too_long = 0
        self.read = 0

    def __iter__(self) -> Iterator[str]:
        while piece := self._file.readline(LONGEST + 1):
            self.read += len(piece)
            if len(piece) > LONGEST and not piece.endswith(b"\n"):
                self.too_long += 1
                self.skip()
                continue
            yield piece.decode("utf-8", "replace").rstrip("\r\n")
            if self.read > UNPACKED:
                return

    def skip(self) -> None:
        """Pass over what is left of a line, or of as much as is read at all."""
        while piece := self._file.readline(LONGEST):
            self.read += len(piece)
            if piece.endswith(b"\n") or self.read > UNPACKED:
                return

    def take(self, limit: int) -> list[str]:
        """The next lines, at most ``limit`` and about ``PART_BYTES``."""
        taken: list[str] = []
        size = 0
        for line in self:
            taken.append(line)
            size += len(line)
            if len(taken) >= limit or size >= PART_BYTES:
                break
        return taken
