import orjson
import pytest

from models.record import Records
from models.source.config import Source
from service.replay.batches import Batch, Ends, rounds, session_lines
from training.corpus import split_log

SHOP = Source.from_dict(
    {
        "name": "shop",
        "header": {"kind": "regex", "pattern": "^(?P<second>[0-9]+) (?P<message>.*)$"},
        "session": {"pattern": "s[0-9]+"},
        "starts_with": "^[0-9]",
    }
)
LINES = [
    "1 s1 begins", "2 s2 begins", "3 s1 fails", "\tat one", "\tat two", "4 s2 works", "5 s3 meets s1", "6 s4 begins",
    "7 s2 ends",
]  # fmt: skip


@pytest.fixture
def records() -> Records:
    return split_log(SHOP, LINES, 0.0)


def sent(batches: list[list[Batch]]) -> list[list[str]]:
    """Texts of each request; an end record is shown as ``end SESSION``."""
    found = []
    for batch in (batch for own in batches for batch in own):
        body = orjson.loads(batch.body)
        items = [{"line": line} for line in body.get("lines", [])] or body["records"]
        found.append([item.get("line") or f"end {item['session']}" for item in items])
        assert [i for i in batch.items if i >= 0] == [LINES.index(i["line"]) for i in items if "line" in i]
        assert len(batch.items) == len(items)
        assert batch.lines == sum("line" in item for item in items)
    return found


def test_batches_begin_at_the_first_line_of_a_record() -> None:
    requests = sent(list(rounds(SHOP, LINES, None, 4, 1, "never")))
    assert requests == [LINES[:5], LINES[5:8], LINES[8:]]


def test_end_record_follows_the_last_line_of_its_session(records: Records) -> None:
    (request,) = sent(list(rounds(SHOP, LINES, records, 100, 1, "last_line")))
    assert request == [*LINES[:7], "end s1", "end s3", LINES[7], "end s4", LINES[8], "end s2"]


def test_end_of_a_record_of_several_lines_follows_all_of_them() -> None:
    lines = LINES[2:6]
    (batch,) = next(rounds(SHOP, lines, split_log(SHOP, lines, 0.0), 100, 1, "last_line"))
    assert [item.get("line", item.get("session")) for item in orjson.loads(batch.body)["records"]] == [
        "3 s1 fails", "\tat one", "\tat two", "s1", "4 s2 works", "s2",
    ]  # fmt: skip


def test_sessions_are_ended_once_after_the_last_line(records: Records) -> None:
    requests = sent(list(rounds(SHOP, LINES, records, 100, 1, "end_of_log")))
    assert requests == [LINES, ["end s1", "end s2", "end s3", "end s4"]]


@pytest.mark.parametrize("ends", ["never", "last_line"])
@pytest.mark.parametrize(("size", "connections"), [(2, 2), (3, 3), (100, 2)])
def test_connections_never_share_a_session_within_a_round(
    records: Records, ends: Ends, size: int, connections: int
) -> None:
    lines_of = session_lines(records, len(LINES))
    seen: list[int] = []
    for batches in rounds(SHOP, LINES, records, size, connections, ends):
        assert len(batches) <= connections
        numbers = [{item for item in batch.items if item >= 0} for batch in batches]
        for own in ({at for part in parts for at in part} for parts in lines_of.values()):
            assert sum(bool(own & request) for request in numbers) <= 1
        assert all(list(batch.items) == sorted(batch.items) for batch in batches if ends == "never")
        seen.extend(number for request in numbers for number in request)
    assert sorted(seen) == list(range(len(LINES)))


def test_sessions_that_share_no_line_are_dealt_to_all_connections(records: Records) -> None:
    ((first, second),) = rounds(SHOP, LINES, records, 100, 2, "never")
    assert [list(batch.items) for batch in (first, second)] == [[0, 2, 3, 4, 6, 7], [1, 5, 8]]


def test_lines_before_the_first_record_are_sent_to_be_rejected_by_the_service() -> None:
    lines = ["\torphan", *LINES]
    split = split_log(SHOP, lines, 0.0)
    numbers = [n for own in rounds(SHOP, lines, split, 100, 2, "never") for batch in own for n in batch.items]
    assert sorted(numbers) == list(range(len(lines)))


def test_lines_of_sessions_cover_their_records(records: Records) -> None:
    found = session_lines(records, len(LINES))
    assert list(found) == ["s1", "s2", "s3", "s4"]
    assert found["s1"] == [range(1), range(2, 5), range(6, 7)]
    assert found["s2"] == [range(1, 2), range(5, 6), range(8, 9)]
