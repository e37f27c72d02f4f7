"""One log over its rotations: whichever file lies at its path, those that were moved aside, and their order.

Owns what a rotation looks like: a renamed file is read to its end before the next one, a file that was copied and
emptied is read on in its copy, and files that came and went in between are read too. Time is passed in, in seconds.
Does not know where lines go.
"""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

import polars as pl

from service.tail.file import LINE_BYTES, READ_BYTES, LogFile, Piece, Place, TailError

GRACE_S = 2.0
"""A writer goes on with the file that was renamed under it until it is told."""
QUIET_S = 1.0
"""After which a record of several lines is over, where nothing follows it."""
_ROTATED = re.compile(r"[._-]?[0-9][0-9T:._-]*")
"""What stands behind the name: ``.1``, ``-20240501``, ``.2024-05-01_12-00``."""


class Followed:
    """A log at ``path``, from ``place`` on (None: from its beginning, or its end with ``from_end``).

    ``until`` is where a piece that may have arrived already ends: it is given again as it was. ``starts_with`` marks
    the first line of a record; pieces end where records do. ``say`` hears what an operator should know.
    """

    def __init__(
        self,
        path: Path,
        place: Place | None,
        *,
        from_end: bool = False,
        until: int | None = None,
        starts_with: str | None = None,
        say: Callable[[str], None],
    ) -> None:
        self.path = path
        self._place = place
        self._from_end = from_end and place is None
        self._until = until
        self._starts_with = starts_with
        self._say = say
        self._file: LogFile | None = None
        self._next = path
        self._grown_at = 0.0
        self._seen_size = -1
        self._said = ""

    def close(self) -> None:
        """Let go of the open file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def next(self, most: int, now: float, *, last: bool = False) -> Piece | None:
        """The next lines, at most ``most`` (more where one record has more); None where there are none now.

        ``last``: nothing is waited for, what stands at the end of the log is whole. What is given stays next until
        ``pass_by``.
        """
        while True:
            if self._file is None and not self._open(now):
                return None
            assert self._file is not None
            piece = self._piece(self._file, most, now, last=last)
            if piece is not None or not self._turned(self._file, now, last=last):
                return piece

    def pass_by(self, piece: Piece) -> None:
        """A piece has arrived where it was to go."""
        assert self._file is not None
        self._file.pass_by(piece)
        self._until = None

    @property
    def place(self) -> Place:
        """Up to where the open file was read. Raises TailError where none is open: no piece was given."""
        if self._file is None:
            raise TailError(f"{self.path} is not there")
        return self._file.place

    @property
    def opened(self) -> bool:
        """Whether a file is open."""
        return self._file is not None

    @property
    def waiting(self) -> int:
        """Bytes of the open file that were not read."""
        return 0 if self._file is None else max(0, self._file.size - self._file.offset)

    def _piece(self, file: LogFile, most: int, now: float, *, last: bool) -> Piece | None:
        size = file.size
        if size != self._seen_size:
            self._seen_size, self._grown_at = size, now
        if file.was_cut():
            return None
        if self._until is not None:
            piece = file.read(most, until=self._until)
            if piece is not None:
                return piece
            self._until = None
        aside = not file.is_at(self.path) and now - self._grown_at >= GRACE_S
        piece = file.read(most, rest=last or aside)
        if piece is None or self._starts_with is None:
            return piece
        full = len(piece.lines) >= most or piece.after.offset - piece.start > READ_BYTES - LINE_BYTES
        if not full and (last or aside or now - self._grown_at >= QUIET_S):
            return piece
        begins = pl.Series(piece.lines, dtype=pl.String).str.contains(self._starts_with).arg_true().to_list()
        if begins and begins[-1]:
            return file.shortened(piece, begins[-1])
        # One record and no end of it: it goes in pieces, rather than be held for ever.
        return piece if full else None

    def _turned(self, file: LogFile, now: float, *, last: bool) -> bool:
        """Whether another file is to be read now: this one is over, or was emptied."""
        if file.was_cut():
            place = file.place
            self.close()
            self._next = self.path
            copy = self._found(place, self._rotated())
            if copy is None:
                self._say(f"{self.path} was emptied; what came before that after byte {place.offset} is gone")
            else:
                self._take(copy, now)
            return True
        here = file.is_at(self.path)
        if here or not (last or now - self._grown_at >= GRACE_S):
            return False
        later = self._later(file)
        if here is None and not later:
            return False
        self._next = later[0] if later else self.path
        self.close()
        return True

    def _open(self, now: float) -> bool:
        """Open the file that comes next; False where there is none yet."""
        if self._place is not None:
            place, self._place = self._place, None
            found = self._found(place, [self.path, *self._rotated()])
            if found is not None:
                self._take(found, now)
                return True
            self._until = None
            self._say(f"the file that was {self.path} is gone; its lines after byte {place.offset} are not sent")
        path, self._next = self._next, self.path
        try:
            file = LogFile.open(path)
        except OSError as error:
            self._once(f"cannot read {path} ({error.strerror}); trying again")
            return False
        if file is None:
            # A file that was moved on since: what lies at the path is not worse.
            return path != self.path and self._open(now)
        if self._from_end:
            file.skip()
        self._from_end = False
        self._take(file, now)
        return True

    def _take(self, file: LogFile, now: float) -> None:
        self._file = file
        self._seen_size, self._grown_at = file.size, now

    def _later(self, file: LogFile) -> list[Path]:
        """Files that were moved aside after ``file`` was, oldest first."""
        later = []
        modified_ns = file.modified_ns
        for path in self._rotated():
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                if status.st_mtime_ns > modified_ns and (status.st_dev, status.st_ino) != (file.device, file.inode):
                    later.append((status.st_mtime_ns, path))
        return [path for _, path in sorted(later)]

    def _rotated(self) -> list[Path]:
        """Files beside the path that are named as its earlier ones would be."""
        name = self.path.name
        return [
            path
            for path in self.path.parent.iterdir()
            if path.name.startswith(name) and _ROTATED.fullmatch(path.name, len(name)) and path.is_file()
        ]

    def _found(self, place: Place, paths: list[Path]) -> LogFile | None:
        """The file that a place is in: the same one, else a copy of it."""
        copy: LogFile | None = None
        for path in paths:
            try:
                file = LogFile.open(path, place)
            except OSError as error:
                self._once(f"cannot read {path} ({error.strerror})")
                continue
            if file is None:
                continue
            if (file.device, file.inode) == (place.device, place.inode):
                if copy is not None:
                    copy.close()
                return file
            if copy is None:
                copy = file
            else:
                file.close()
        return copy

    def _once(self, text: str) -> None:
        if text != self._said:
            self._say(text)
            self._said = text
