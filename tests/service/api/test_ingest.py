"""Body forms of ``POST /ingest``, and what each wrong body, line or record gets."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from tests.golden import blocks
from tests.service.serving import NOW, Replica, blocks_bundle, ndjson, running, stored

GOOD = "240501 000010 21 INFO store.Names: allocate blk_1 for /jobs/3/part-4"
NEXT = "240501 000012 21 INFO store.Node: receiving blk_1 from 10.0.0.7:5001"
HEADERLESS = "this line has no header"


def seen(answer: dict[str, Any]) -> list[tuple[int, str, str]]:
    return [(v["index"], v["session"], v["template"]) for v in answer["verdicts"]]


CUT_SHORT = gzip.compress(b"x" * 999, mtime=0)[:-9]
EXPECTED = [(0, "blk_1", "allocate <BLK> for <PATH>"), (1, "blk_1", "receiving <BLK> from <IP>")]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (f"{GOOD}\n{NEXT}\n".encode(), "text/plain"),
        (f"{GOOD}\r\n{NEXT}".encode(), "text/plain; charset=utf-8"),
        (ndjson([{"line": GOOD}, {"line": NEXT, "source": "blocks"}]), "application/x-ndjson"),
        (ndjson([{"line": GOOD}, {"line": NEXT}]).replace(b"\n", b"\r\n"), "application/x-ndjson"),
        (b'{"lines": ["%s", "%s"]}' % (GOOD.encode(), NEXT.encode()), "application/json"),
        (b'{"records": [{"line": "%s"}, {"line": "%s"}]}' % (GOOD.encode(), NEXT.encode()), "application/json"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
async def test_every_body_form_gives_the_same_verdicts(
    replica: Replica, content: bytes, kind: str, packed: bool
) -> None:
    headers = {"Content-Type": kind}
    if packed:
        headers["Content-Encoding"] = "gzip"
        content = gzip.compress(content)
    response = await replica.http.post("/ingest", params={"source": "blocks"}, content=content, headers=headers)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert seen(answer) == EXPECTED
    assert (answer["source"], answer["received"], answer["rejected"]) == ("blocks", 2, [])
    assert answer["versions"]["bundle"] == "1"
    assert answer["versions"]["tree"] == "blocks-tree"


async def test_gzip_of_several_members_is_read_to_its_end(replica: Replica) -> None:
    content = gzip.compress(f"{GOOD}\n".encode()) + gzip.compress(f"{NEXT}\n".encode())
    headers = {"Content-Type": "text/plain", "Content-Encoding": "gzip"}
    answer = (await replica.http.post("/ingest?source=blocks", content=content, headers=headers)).json()
    assert seen(answer) == EXPECTED


async def test_records_override_session_and_time_and_end_sessions(replica: Replica) -> None:
    records = [
        {"line": GOOD, "session": "mine", "timestamp": 1714521600},
        {"line": NEXT, "session": "mine", "timestamp": "2024-05-01T00:00:05Z"},
        {"session": "mine", "end": True},
        {"line": NEXT, "session": "mine", "timestamp": "2024-05-01T02:00:09+02:00", "end": True},
    ]
    body = {"source": "blocks", "records": records}
    answer = (await replica.http.post("/ingest", json=body)).json()
    assert answer["received"] == 4
    assert [(v["index"], v["kind"], v["session"]) for v in answer["verdicts"]] == [
        (0, "line", "mine"), (1, "line", "mine"), (3, "line", "mine"), (None, "session", "mine"),
        (None, "session", "mine"),
    ]  # fmt: skip
    ends = await replica.ends("blocks")
    assert [(e["started"], e["last"], e["events"]) for e in ends] == [  # type: ignore[typeddict-item]
        (1714521600.0, 1714521605.0, 2),
        (1714521609.0, 1714521609.0, 1),
    ]


async def test_fields_of_a_record_give_the_session_that_the_source_asks_for(replica: Replica) -> None:
    header = {"kind": "regex", "pattern": "^(?P<request>[^ ]+) (?P<message>.*)$"}
    config = {"header": header, "session": {"fields": ["request"]}}
    assert (await replica.http.put("/sources/web", json=config)).status_code == 200
    records = [
        {"line": "r-0 hello", "fields": {"request": "r-1"}},
        {"line": "r-0 hello", "fields": {"request": 7}},
        {"line": "r-0 hello", "fields": {"other": "r-1"}},
        {"line": "r-0 hello"},
    ]
    answer = (await replica.http.post("/ingest", json={"source": "web", "records": records})).json()
    assert [v["session"] for v in answer["verdicts"]] == ["r-1", "7", "r-0", "r-0"]


async def test_which_verdicts_come_back_can_be_chosen(replica: Replica) -> None:
    lines = blocks.golden_log()
    none = await replica.ingest("blocks", lines[:10], params={"verdicts": "none"})
    every = await replica.ingest("blocks", lines[10:20], params={"verdicts": "all"})
    some = await replica.ingest("blocks", lines[20:], params={"verdicts": "anomalous"})
    assert none["verdicts"] == []
    assert none["received"] == 10
    assert not any(verdict["anomalous"] for verdict in every["verdicts"])
    assert len(every["verdicts"]) >= 10
    assert all(verdict["anomalous"] for verdict in some["verdicts"])
    assert {verdict["kind"] for verdict in some["verdicts"]} == {"line", "session"}


LONG = "240501 000013 21 INFO store.Node: served blk_1 to " + "x" * 65536


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (HEADERLESS, "not in the format"),
        (LONG, "the limit is 65,536"),
        ("", "empty line"),
        ("240501 000013 21 INFO store.Node: no block is named", "session"),
        ("999999 000013 21 INFO store.Node: served blk_1 to 10.0.0.7:5001", "timestamp"),
        (17, "must be a string"),
        (None, "must be a string"),
        (["nested"], "must be a string"),
    ],
)
async def test_a_bad_line_gets_its_error_and_the_good_ones_are_scored(replica: Replica, bad: Any, says: str) -> None:
    answer = await replica.ingest("blocks", [GOOD, bad, NEXT])
    assert [error["index"] for error in answer["rejected"]] == [1]
    assert says in answer["rejected"][0]["error"]
    assert [(v["index"], v["state"]) for v in answer["verdicts"]] == [(0, "scored"), (2, "scored")]


DEEP: Any = "deep"
for _ in range(900):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({}, "needs a line"),
        ({"end": True}, "needs the session"),
        ({"line": GOOD, "end": True}, "must name the session"),
        ({"line": GOOD, "end": "yes"}, "end must be true or false"),
        ({"line": GOOD, "sesion": "a"}, "unknown field 'sesion'; known are"),
        ({"line": 5}, "line must be a string"),
        ({"line": GOOD, "session": ""}, "session must be a string"),
        ({"line": GOOD, "session": 5}, "session must be a string"),
        ({"line": GOOD, "session": "é" * 300}, "over 512 bytes"),
        ({"line": GOOD, "timestamp": True}, "timestamp must be"),
        ({"line": GOOD, "timestamp": "noon"}, "not ISO 8601"),
        ({"line": GOOD, "timestamp": "nan"}, "not ISO 8601"),
        ({"line": GOOD, "timestamp": 1e300}, "years 1 to 9999"),
        ({"line": GOOD, "timestamp": NOW + 1e6}, "after it arrived"),
        ({"line": GOOD, "fields": [1]}, "fields must be an object"),
        ({"line": GOOD, "fields": {"a": DEEP}}, "field 'a'"),
        ("just text", "must be an object"),
        (None, "must be an object"),
    ],
)
async def test_a_bad_record_gets_its_error_and_the_good_ones_are_scored(replica: Replica, bad: Any, says: str) -> None:
    body = {"source": "blocks", "records": [{"line": GOOD}, bad, {"line": NEXT}]}
    response = await replica.http.post("/ingest", json=body)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert [error["index"] for error in answer["rejected"]] == [1]
    assert says in answer["rejected"][0]["error"]
    assert [v["index"] for v in answer["verdicts"]] == [0, 2]


async def test_ndjson_line_that_is_no_json_costs_nothing_but_itself(replica: Replica) -> None:
    good = ndjson([{"line": GOOD}])
    content = good + b'{"line": "\xff"}\n' + b"{oops\n" + b"\n" + b'{"line": "x", "source": "shop"}\n' + good
    headers = {"Content-Type": "application/x-ndjson"}
    answer = (await replica.http.post("/ingest?source=blocks", content=content, headers=headers)).json()
    assert [error["index"] for error in answer["rejected"]] == [1, 2, 3, 4]
    assert "one source a request" in answer["rejected"][3]["error"]
    assert [v["index"] for v in answer["verdicts"]] == [0, 5]


async def test_invalid_utf8_line_of_a_text_costs_nothing_but_itself(replica: Replica) -> None:
    content = f"{GOOD}\r\n".encode() + b"bad \xfe byte\r\n" + f"{NEXT}\r\n".encode()
    headers = {"Content-Type": "text/plain"}
    answer = (await replica.http.post("/ingest?source=blocks", content=content, headers=headers)).json()
    assert answer["rejected"] == [{"index": 1, "error": "not UTF-8: byte 0xfe at 4"}]
    assert [(v["index"], v["template"]) for v in answer["verdicts"]] == [(0, EXPECTED[0][2]), (2, EXPECTED[1][2])]


@pytest.mark.parametrize(
    ("path", "content", "headers", "status", "says"),
    [
        ("/ingest", b"{oops", {}, 400, "not JSON"),
        ("/ingest", b'{"source": "blocks", "lines": [NaN]}', {}, 400, "not JSON"),
        ("/ingest", b'{"source": "blocks", "lines": ["\xff"]}', {}, 400, "not JSON"),
        ("/ingest", b'{"source": "blocks", "lines": ["\\ud800"]}', {}, 400, "not JSON"),
        ("/ingest", b"[" * 100_000, {}, 400, "not JSON"),
        ("/ingest", b"[]", {}, 422, "must be an object"),
        ("/ingest", b'{"lines": ["x"]}', {}, 422, 'add "source"'),
        ("/ingest", b'{"source": 5, "lines": ["x"]}', {}, 422, 'add "source"'),
        ("/ingest", b'{"source": "blocks"}', {}, 422, 'either "lines" or "records"'),
        ("/ingest", b'{"source": "blocks", "lines": [], "records": []}', {}, 422, "either"),
        ("/ingest", b'{"source": "blocks", "lines": "x"}', {}, 422, "must be lists"),
        ("/ingest", b'{"source": "blocks", "lines": ["x"], "colour": 1}', {}, 422, "unknown field 'colour'"),
        ("/ingest", b'{"source": "blocks", "lines": []}', {}, 422, "send at least one line"),
        ("/ingest", b'{"source": "nowhere", "lines": ["x"]}', {}, 404, "PUT /sources/nowhere"),
        ("/ingest", b'{"source": "../../etc", "lines": ["x"]}', {}, 404, "is no name of a source"),
        ("/ingest", b"x", {"Content-Type": "text/plain"}, 422, "?source=NAME"),
        ("/ingest?source=blocks", b"", {"Content-Type": "text/plain"}, 422, "send at least one line"),
        ("/ingest?source=blocks", b"", {"Content-Type": "application/x-ndjson"}, 422, "send at least one line"),
        ("/ingest?source=blocks", b"", {}, 400, "not JSON"),
        ("/ingest?source=blocks", b"<a/>", {"Content-Type": "application/xml"}, 415, "send application/json"),
        ("/ingest?source=blocks", b"x", {"Content-Encoding": "br"}, 415, "send gzip or nothing"),
        ("/ingest?source=blocks", b"no gzip at all", {"Content-Encoding": "gzip"}, 400, "is not gzip"),
        ("/ingest?source=blocks", CUT_SHORT, {"Content-Encoding": "gzip"}, 400, "too early"),
        ("/ingest?source=blocks&wait=perhaps", b"x", {}, 422, "wait"),
        ("/ingest?source=blocks&verdicts=some", b"x", {}, 422, "'all', 'anomalous' or 'none'"),
        ("/ingest?source=blocks", b"x", {"Content-Type": "text/plain", "Idempotency-Key": "\x7f"}, 422, "printable"),
        ("/ingest?source=blocks", b"x", {"Content-Type": "text/plain", "Idempotency-Key": ""}, 422, "Idempotency-Key"),
        ("/ingest?source=blocks", b"x", {"Idempotency-Key": "k" * 201}, 422, "200"),
    ],
)  # fmt: skip
async def test_a_wrong_request_is_refused_with_what_to_do(
    replica: Replica, path: str, content: bytes, headers: dict[str, str], status: int, says: str
) -> None:
    response = await replica.http.post(path, content=content, headers=headers)
    assert response.status_code == status, response.text
    assert says in response.json()["error"]


async def test_a_batch_of_bad_lines_only_is_422_with_an_error_for_each(replica: Replica) -> None:
    response = await replica.http.post("/ingest", json={"source": "blocks", "lines": [HEADERLESS, 5, HEADERLESS]})
    assert response.status_code == 422
    assert [error["index"] for error in response.json()["rejected"]] == [0, 1, 2]


async def test_a_batch_of_end_records_only_is_taken(replica: Replica) -> None:
    await replica.ingest("blocks", [GOOD])
    body = {"source": "blocks", "records": [{"session": "blk_1", "end": True}, {"session": "unheard of", "end": True}]}
    response = await replica.http.post("/ingest", json=body)
    assert response.status_code == 200
    assert [(v["index"], v["session"]) for v in response.json()["verdicts"]] == [(None, "blk_1")]


@pytest.mark.usefixtures("redis")
async def test_limits_of_a_request_hold_before_and_after_decompression(redis_url: str, tmp_path: Path) -> None:
    bundles = stored(tmp_path / "bundles", blocks_bundle())
    async with running(redis_url, bundles, max_body_bytes=10_000, max_request_lines=50) as replica:

        async def status(content: bytes, **headers: str) -> tuple[int, str]:
            response = await replica.http.post(
                "/ingest?source=blocks", content=content, headers={"Content-Type": "text/plain", **headers}
            )
            return response.status_code, response.text

        assert (await status(b"x" * 10_001))[0] == 413
        bomb = gzip.compress(b"x" * 50_000_000, 1)
        assert len(bomb) > 10_000  # as announced
        assert (await status(bomb, **{"Content-Encoding": "gzip"}))[0] == 413
        small_bomb = gzip.compress(b"x" * 5_000_000)
        assert len(small_bomb) < 10_000  # only once unpacked
        code, text = await status(small_bomb, **{"Content-Encoding": "gzip"})
        assert code == 413
        assert "send smaller batches" in text
        members = gzip.compress(b"x" * 6_000) * 2
        assert (await status(members, **{"Content-Encoding": "gzip"}))[0] == 413
        assert (await status(f"{GOOD}\n".encode() * 51))[0] == 413
        assert (await status(f"{GOOD}\n".encode() * 50))[0] == 200

        async def endless() -> Any:
            while True:
                yield b"x" * 4_096

        response = await replica.http.post("/ingest?source=blocks", content=endless())
        assert response.status_code == 413
