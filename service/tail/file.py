"""One open log file: whole lines from a place on, and what tells it apart from others.

Owns how a file is known again (device, inode, its first bytes), where lines end, and that it was cut off. Does not know
which files belong together.
"""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from models.errors import TocsinError

HEAD_BYTES = 1024
"""Of a file's beginning, to know it by: a copy has another inode, a new file may have an old one."""
READ_BYTES = 4 * 2**20
LINE_BYTES = 2**20
"""A longer line goes in pieces."""


class TailError(TocsinError):
    """A file cannot be followed, or its place not be kept."""


@dataclass(frozen=True, slots=True)
class Place:
    """Up to where a file was read. ``head`` is the SHA-256 of its first ``min(offset, HEAD_BYTES)`` bytes."""

    device: int
    inode: int
    head: str
    offset: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Lines of one file, in order, from the byte ``start`` on; ``after`` is the place behind them."""

    lines: list[str]
    start: int
    after: Place


class LogFile:
    """A file that is open for reading at ``offset``."""

    def __init__(self, descriptor: int, status: os.stat_result, offset: int, head: bytes) -> None:
        self._descriptor = descriptor
        self.device = status.st_dev
        self.inode = status.st_ino
        self.offset = offset
        self._head = head

    @classmethod
    def open(cls, path: Path, place: Place | None = None) -> Self | None:
        """The file at ``path``, at ``place``; None where there is none, or it is not the file that ``place`` means.

        That is the one with the same beginning and at least as long; an inode alone says nothing. Raises TailError
        where it is no regular file, OSError where it cannot be read.
        """
        try:
            # Without waiting for somebody to open the other end, should it be a pipe.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise TailError(f"{path} is no regular file; only those can be followed")
            offset = 0 if place is None else place.offset
            head = os.pread(descriptor, min(offset, HEAD_BYTES), 0)
            if place is not None:
                same = (status.st_dev, status.st_ino) == (place.device, place.inode)
                if status.st_size < offset or _digest(head) != place.head or (offset == 0 and not same):
                    os.close(descriptor)
                    return None
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor, status, offset, head)

    def close(self) -> None:
        """Give it back."""
        os.close(self._descriptor)

    @property
    def place(self) -> Place:
        """Up to where it was read."""
        return self._at(self.offset)

    @property
    def modified_ns(self) -> int:
        """When it was last written."""
        return os.fstat(self._descriptor).st_mtime_ns

    @property
    def size(self) -> int:
        """Its bytes, now."""
        return os.fstat(self._descriptor).st_size

    def is_at(self, path: Path) -> bool | None:
        """Whether it is what lies at ``path``; None where nothing does."""
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        return (status.st_dev, status.st_ino) == (self.device, self.inode)

    def was_cut(self) -> bool:
        """Whether it is shorter than what was read, or begins otherwise: emptied, and perhaps written again."""
        return self.size < self.offset or os.pread(self._descriptor, len(self._head), 0) != self._head

    def read(self, most: int, *, rest: bool = False, until: int | None = None) -> Piece | None:
        """The next whole lines, at most ``most``; None where there are none. What was read stays next: see ``pass_by``.

        ``rest``: a last line without its line feed counts as whole. ``until``: everything up to that byte, as it was
        once sent.
        """
        wanted = READ_BYTES if until is None else until - self.offset
        if not 0 < wanted <= READ_BYTES:
            return None
        data = os.pread(self._descriptor, wanted, self.offset)
        if until is not None and len(data) < wanted:
            return None
        lines: list[bytes] = []
        at = 0
        while at < len(data) and (until is not None or len(lines) < most):
            end = data.find(b"\n", at, at + LINE_BYTES)
            stop = end + 1
            if end < 0:
                if len(data) - at >= LINE_BYTES:
                    end = stop = at + LINE_BYTES
                elif until is not None or (rest and len(data) < READ_BYTES):
                    end = stop = len(data)
                else:
                    break
            lines.append(data[at:end])
            at = stop
        if not lines:
            return None
        # A file that was emptied under a writer which does not append begins with NULs up to where that one stood.
        texts = [line.lstrip(b"\0").removesuffix(b"\r").decode("utf-8", "replace") for line in lines]
        return Piece(texts, self.offset, self._at(self.offset + at))

    def shortened(self, piece: Piece, lines: int) -> Piece:
        """The first ``lines`` of a piece that was read here."""
        data = os.pread(self._descriptor, piece.after.offset - piece.start, piece.start)
        at = 0
        for _ in range(lines):
            end = data.find(b"\n", at, at + LINE_BYTES)
            at = min(at + LINE_BYTES, len(data)) if end < 0 else end + 1
        return Piece(piece.lines[:lines], piece.start, self._at(piece.start + at))

    def skip(self) -> None:
        """Go on behind the last whole line that is there now."""
        at = self.size
        while at > 0:
            begin = max(0, at - READ_BYTES)
            found = os.pread(self._descriptor, at - begin, begin).rfind(b"\n")
            if found >= 0:
                self._go_to(begin + found + 1)
                return
            at = begin

    def pass_by(self, piece: Piece) -> None:
        """Go on behind a piece."""
        self._go_to(piece.after.offset)

    def _go_to(self, offset: int) -> None:
        self.offset = offset
        if len(self._head) < HEAD_BYTES:
            self._head = os.pread(self._descriptor, min(self.offset, HEAD_BYTES), 0)

    def _at(self, offset: int) -> Place:
        head = self._head
        if len(head) < min(offset, HEAD_BYTES):
            head = os.pread(self._descriptor, min(offset, HEAD_BYTES), 0)
        return Place(self.device, self.inode, _digest(head[:offset]), offset)


def _digest(head: bytes) -> str:
    return hashlib.sha256(head).hexdigest()
