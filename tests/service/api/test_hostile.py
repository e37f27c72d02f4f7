"""Whatever is posted, the service answers: never a 5xx, an answer for every line, and it goes on."""

import asyncio
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.golden import blocks
from tests.service.serving import Replica

GOLDEN = blocks.golden_log()
FIELDS = ["label", "incident", "source", "session", "at", "note", "version", "reset_sessions", "header", "masks"]
HOSTILE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

text = st.text(st.characters(codec="utf-8"), max_size=80)
mangled = st.builds(
    lambda line, cut, noise: line[:cut] + noise + line[cut:], st.sampled_from(GOLDEN), st.integers(0, 70), text
)
awkward = st.sampled_from(["", "\0", "\r", "a\nb", "<*>", "<BLK>", "\u2028"])
line = st.one_of(text, mangled, st.sampled_from(GOLDEN), awkward)
scalar = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), text)
anything = st.recursive(
    scalar, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=8
)
record = st.one_of(
    anything,
    st.fixed_dictionaries(
        {},
        optional={
            "line": line | anything,
            "session": text | st.sampled_from(["blk_1000", "\0"]) | anything,
            "timestamp": st.one_of(
                st.floats(), st.integers(-(10**12), 10**12), st.datetimes().map(str), st.just(1714600000), anything
            ),
            "fields": st.dictionaries(text, anything, max_size=3) | anything,
            "end": st.booleans() | anything,
        },
    ),
)


def check_answered(response: httpx.Response, received: int) -> None:
    """Every line has verdicts or an error, and nothing fell over."""
    assert response.status_code in (200, 422), response.text
    answer = response.json()
    assert answer["received"] == received
    errors = [error["index"] for error in answer["rejected"]]
    assert errors == sorted(set(errors))
    indexes = {verdict["index"] for verdict in answer["verdicts"]} - {None}
    assert not indexes & set(errors)
    assert indexes | set(errors) <= set(range(received))
    assert (response.status_code == 422) == (len(errors) == received)


@HOSTILE
@given(lines=st.lists(line | anything, min_size=1, max_size=12), source=st.sampled_from(["blocks", "shop"]))
def test_any_lines_are_answered(served: tuple[asyncio.Runner, Replica], lines: list[Any], source: str) -> None:
    runner, replica = served
    body = orjson.dumps({"source": source, "lines": lines}, option=orjson.OPT_NON_STR_KEYS)
    response = runner.run(replica.http.post("/ingest", content=body))
    check_answered(response, len(lines))
    if source == "blocks":  # without records of several lines, each line is accounted for by itself
        answer = response.json()
        told = {v["index"] for v in answer["verdicts"]} | {error["index"] for error in answer["rejected"]}
        assert told >= set(range(len(lines)))


@HOSTILE
@given(records=st.lists(record, min_size=1, max_size=12), source=st.sampled_from(["blocks", "shop"]))
def test_any_records_are_answered(served: tuple[asyncio.Runner, Replica], records: list[Any], source: str) -> None:
    runner, replica = served
    body = orjson.dumps({"source": source, "records": records}, option=orjson.OPT_NON_STR_KEYS)
    check_answered(runner.run(replica.http.post("/ingest", content=body)), len(records))


@HOSTILE
@given(
    content=st.binary(max_size=300),
    kind=st.sampled_from(["application/json", "text/plain", "application/x-ndjson", "", "image/png"]),
    encoding=st.sampled_from(["", "gzip", "deflate"]),
)
def test_any_bytes_are_answered(
    served: tuple[asyncio.Runner, Replica], content: bytes, kind: str, encoding: str
) -> None:
    runner, replica = served
    headers = {"Content-Type": kind, "Content-Encoding": encoding}
    response = runner.run(replica.http.post("/ingest?source=blocks", content=content, headers=headers))
    assert response.status_code in (200, 400, 413, 415, 422), response.text
    answer = response.json()
    assert answer.get("error") or answer["received"]


@HOSTILE
@given(body=anything | st.dictionaries(st.sampled_from(FIELDS), anything))
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/feedback"), ("PUT", "/sources/hostile"), ("POST", "/models/shop/activate")]
)
def test_any_json_is_answered_everywhere(
    served: tuple[asyncio.Runner, Replica], method: str, path: str, body: Any
) -> None:
    runner, replica = served
    content = orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS)
    headers = {"Content-Type": "application/json"}
    response = runner.run(replica.http.request(method, path, content=content, headers=headers))
    assert response.status_code < 500, response.text


@pytest.mark.parametrize("path", ["/feedback", "/models/shop/activate", "/ingest"])
@pytest.mark.parametrize(
    "content",
    [
        b'{"\\ud800": 1}',
        b'{"label": "false_positive", "incident": "\\ud800"}',
        b'{"label": "missed", "source": "blocks", "session": "\\udfff", "at": 0, "note": "\\ud800"}',
        b'{"version": "\\ud800"}',
        b"[" * 3_000 + b"]" * 3_000,
        b'{"at": 1e999, "label": "missed", "source": "blocks", "session": "a"}',
        b"\xff\xfe",
    ],
)
def test_json_that_no_text_can_hold_is_refused(
    served: tuple[asyncio.Runner, Replica], path: str, content: bytes
) -> None:
    runner, replica = served
    headers = {"Content-Type": "application/json"}
    response = runner.run(replica.http.post(path, content=content, headers=headers))
    assert 400 <= response.status_code < 500, response.text


def test_the_service_is_well_after_all_that(served: tuple[asyncio.Runner, Replica]) -> None:
    runner, replica = served
    fine = "240501 000010 21 INFO store.Names: allocate blk_99999 for /jobs/3/part-4"
    answer = runner.run(replica.ingest("blocks", [fine]))
    assert [verdict["template"] for verdict in answer["verdicts"] if verdict["index"] == 0]
    assert runner.run(replica.get("/readyz"))["ready"]
