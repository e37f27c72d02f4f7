"""A log over its rotations: every line once and in order, whatever happens to its files."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.tail.file import LINE_BYTES, Place, TailError
from service.tail.followed import GRACE_S, Followed

Follow = Callable[..., "Reader"]


class Reader:
    """Reads a followed log as a sender would, with a clock that is told."""

    def __init__(self, path: Path, place: Place | None = None, **how: object) -> None:
        self.said: list[str] = []
        self.now = 100.0
        self.log = Followed(path, place, say=self.said.append, **how)  # type: ignore[arg-type]
        self.place = place

    def lines(self, most: int = 100, *, last: bool = False) -> list[str]:
        """All that it gives now."""
        found: list[str] = []
        while (piece := self.log.next(most, self.now, last=last)) is not None:
            found += piece.lines
            self.log.pass_by(piece)
            self.place = piece.after
        return found

    def later(self, seconds: float = GRACE_S) -> list[str]:
        """All that it gives after a while."""
        self.lines_before = self.lines()
        self.now += seconds
        return self.lines_before + self.lines()


@pytest.fixture
def follow() -> Iterator[Follow]:
    readers: list[Reader] = []

    def begin(path: Path, place: Place | None = None, **how: object) -> Reader:
        readers.append(Reader(path, place, **how))
        return readers[-1]

    yield begin
    for reader in readers:
        reader.log.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


def append(path: Path, *lines: str, end: str = "\n") -> None:
    with path.open("a") as file:
        file.write("".join(f"{line}\n" for line in lines[:-1]) + lines[-1] + end)


def rename(log: Path, number: int = 1) -> Path:
    """As logrotate does: the older ones move on, the log becomes the first."""
    for old in range(9, number - 1, -1):
        earlier = log.with_name(f"{log.name}.{old}")
        if earlier.exists():
            earlier.rename(log.with_name(f"{log.name}.{old + 1}"))
    return log.rename(log.with_name(f"{log.name}.{number}"))


def test_lines_are_given_when_they_are_whole(log: Path, follow: Follow) -> None:
    reader = follow(log)
    assert reader.lines() == []
    append(log, "a", "b", "unfin", end="")
    assert reader.lines() == ["a", "b"]
    append(log, "ished")
    assert reader.lines() == ["unfinished"]
    append(log, "windows\r", "", "é", "at the end", end="")
    assert reader.lines() == ["windows", "", "é"]
    assert reader.lines(last=True) == ["at the end"]
    assert reader.said == []


def test_a_piece_stays_next_until_it_has_arrived(log: Path, follow: Follow) -> None:
    append(log, "a", "b", "c")
    reader = follow(log)
    first = reader.log.next(2, 0.0)
    assert first is not None
    assert first.lines == ["a", "b"]
    assert reader.log.next(2, 0.0) == first
    reader.log.pass_by(first)
    assert reader.lines() == ["c"]


def test_from_the_end_only_what_comes_after_the_last_whole_line_counts(log: Path, follow: Follow) -> None:
    append(log, "old", "beg", end="")
    reader = follow(log, from_end=True)
    assert reader.lines() == []
    append(log, "un", "new")
    assert reader.lines() == ["begun", "new"]
    assert follow(log, reader.place, from_end=True).lines() == []


def test_a_renamed_file_is_read_to_its_end_first(log: Path, follow: Follow) -> None:
    append(log, "a")
    reader = follow(log)
    assert reader.lines() == ["a"]
    aside = rename(log)
    append(aside, "b")
    append(log, "d")
    assert reader.lines() == ["b"]
    append(aside, "c", end="")
    assert reader.later(GRACE_S / 2) == []
    assert reader.later() == ["c", "d"]
    append(log, "e")
    assert reader.lines() == ["e"]
    assert reader.said == []


def test_a_file_that_is_renamed_and_not_made_anew_is_waited_for(log: Path, follow: Follow) -> None:
    append(log, "a")
    reader = follow(log)
    assert reader.lines() == ["a"]
    rename(log)
    assert reader.later(60) == []
    append(log, "b")
    assert reader.later() == ["b"]


def test_rotations_in_between_are_caught_up_with(log: Path, follow: Follow) -> None:
    append(log, "a", "b")
    reader = follow(log)
    first = reader.log.next(1, 0.0)
    assert first is not None
    reader.log.pass_by(first)
    for number, line in enumerate(["c", "d", "e"]):
        os.utime(rename(log), ns=(0, (number + 1) * 10**9))
        append(log, line)
    found = reader.lines()
    for _ in range(5):
        found += reader.later()
    assert found == ["b", "c", "d", "e"]


@pytest.mark.parametrize("again", [False, True])
def test_a_file_that_is_copied_and_emptied_is_read_on_in_its_copy(log: Path, follow: Follow, again: bool) -> None:
    append(log, "a", "b")
    reader = follow(log)
    first = reader.log.next(1, 0.0)
    assert first is not None
    reader.log.pass_by(first)
    append(log, "c")
    shutil.copy(log, log.with_name("app.log-20240501"))
    os.truncate(log, 0)
    if again:
        # Longer than it was: only its beginning tells.
        append(log, *"defghijk")
        assert reader.later() == list("bcdefghijk")
    else:
        assert reader.later() == ["b", "c"]
        append(log, "d")
        assert reader.later() == ["d"]
    assert reader.said == []


def test_an_emptied_file_without_a_copy_is_told(log: Path, follow: Follow) -> None:
    append(log, "a", "b")
    reader = follow(log)
    assert reader.lines() == ["a", "b"]
    os.truncate(log, 0)
    assert reader.lines() == []
    append(log, "c")
    assert reader.lines() == ["c"]
    assert reader.said == [f"{log} was emptied; what came before that after byte 4 is gone"]


def test_nul_bytes_of_a_writer_that_does_not_append_are_left_out(log: Path, follow: Follow) -> None:
    with log.open("w") as writer:
        writer.write("before\n")
        writer.flush()
        reader = follow(log)
        assert reader.lines() == ["before"]
        os.truncate(log, 0)
        writer.write("after\n")
        writer.flush()
        assert reader.lines() == ["after"]


def test_started_again_it_goes_on_where_it_was(log: Path, follow: Follow) -> None:
    append(log, "a", "b")
    before = follow(log)
    assert before.lines() == ["a", "b"]
    append(log, "c")
    assert follow(log, before.place).lines() == ["c"]
    # Renamed in the meantime, twice, and the first file is found by what it is.
    os.utime(rename(log), ns=(0, 10**9))
    append(log, "d")
    os.utime(rename(log), ns=(0, 2 * 10**9))
    append(log, "e")
    assert follow(log, before.place).lines(last=True) == ["c", "d", "e"]
    # Removed: what is there is read, and what is not is told.
    log.with_name("app.log.2").unlink()
    reader = follow(log, before.place)
    assert reader.lines(last=True) == ["e"]
    assert reader.said == [f"the file that was {log} is gone; its lines after byte 4 are not sent"]


def test_started_again_after_a_copy_it_goes_on_in_the_copy(log: Path, follow: Follow) -> None:
    append(log, "a")
    before = follow(log)
    assert before.lines() == ["a"]
    append(log, "b")
    shutil.copy(log, log.with_name("app.log.1"))
    os.truncate(log, 0)
    append(log, "another one")
    assert follow(log, before.place).lines(last=True) == ["b", "another one"]


def test_files_with_other_names_are_no_rotations(log: Path, follow: Follow) -> None:
    append(log, "a")
    reader = follow(log)
    assert reader.lines() == ["a"]
    os.utime(rename(log), ns=(0, 10**9))
    for name in ("app.log.gz", "app.log.1.gz", "app.log.swp", "app.logger", "other.log.1", "app.log.bak"):
        append(log.with_name(name), "wrong")
    append(log, "b")
    assert reader.later() == ["b"]


def test_records_of_several_lines_are_not_cut(log: Path, follow: Follow) -> None:
    append(log, "> a", "  a1", "> b", "  b1")
    reader = follow(log, starts_with="^>")
    piece = reader.log.next(3, reader.now)
    assert piece is not None
    assert piece.lines == ["> a", "  a1"]
    reader.log.pass_by(piece)
    assert reader.lines() == []
    append(log, "  b2")
    assert reader.lines() == []
    append(log, "> c")
    assert reader.lines() == ["> b", "  b1", "  b2"]
    # The last record is over when nothing comes for a while, or everything ends.
    assert reader.later(1.0) == ["> c"]
    append(log, "> d", "  d1")
    assert reader.lines() == []
    assert reader.lines(last=True) == ["> d", "  d1"]
    append(log, "> e", *(f"  e{n}" for n in range(10)))
    assert reader.lines(5)[:5] == ["> e", "  e0", "  e1", "  e2", "  e3"]


def test_a_piece_that_may_have_arrived_is_given_again_as_it_was(log: Path, follow: Follow) -> None:
    append(log, "> a", "> b", "> c")
    before = follow(log, starts_with="^>")
    piece = before.log.next(2, 0.0)
    assert piece is not None
    start = before.log.place
    append(log, "> d")
    after = follow(log, start, until=piece.after.offset, starts_with="^>")
    again = after.log.next(100, 0.0)
    assert again == piece
    after.log.pass_by(piece)
    assert after.lines(last=True) == ["> b", "> c", "> d"]


def test_long_lines_go_in_pieces(log: Path, follow: Follow) -> None:
    append(log, "x" * (2 * LINE_BYTES + 5), "y")
    assert [len(line) for line in follow(log).lines()] == [LINE_BYTES, LINE_BYTES, 5, 1]


def test_what_is_no_regular_file_is_told(tmp_path: Path, follow: Follow) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TailError, match="no regular file"):
        follow(tmp_path / "pipe").lines()


step = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 5)),
    st.tuples(st.sampled_from(["read", "rename", "copy", "restart"]), st.just(0)),
)


@given(st.lists(step, max_size=30), st.integers(1, 4))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_line_comes_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], most: int
) -> None:
    log = tmp_path_factory.mktemp("any") / "app.log"
    # A file that was gone before it was ever read is nobody's: so it begins with one that was.
    append(log, "line 0")
    os.utime(log, ns=(0, 0))
    reader = Reader(log)
    written = ["line 0"]
    found = reader.lines()
    moment = 0
    try:
        for what, count in steps:
            moment += 1
            if what == "write":
                lines = [f"line {len(written) + n}" for n in range(count)]
                written += lines
                append(log, *lines)
                os.utime(log, ns=(0, moment * 10**9))
            elif what == "read":
                piece = reader.log.next(most, reader.now)
                if piece is not None:
                    found += piece.lines
                    reader.log.pass_by(piece)
                    reader.place = piece.after
            elif what == "rename" and log.exists() and log.stat().st_size:
                rename(log)
            elif what == "copy" and log.exists() and log.stat().st_size:
                # As logrotate: older copies move on.
                for old in range(9, 0, -1):
                    earlier = log.with_name(f"{log.name}.{old}")
                    if earlier.exists():
                        earlier.rename(log.with_name(f"{log.name}.{old + 1}"))
                shutil.copy2(log, log.with_name(f"{log.name}.1"))
                os.truncate(log, 0)
                os.utime(log, ns=(0, moment * 10**9))
            elif what == "restart":
                reader.log.close()
                reader = Reader(log, reader.place)
        reader.now += 10
        found += reader.lines(most, last=True)
        assert found == written
    finally:
        reader.log.close()
