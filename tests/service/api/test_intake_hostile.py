"""Whatever is posted in a shipper's protocol, the service answers in that protocol, never with a 5xx, and goes on."""

import asyncio
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cramjam
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.state.connection import open_client
from tests.service.intake.bodies import created, loki_entry, loki_json, loki_push, otlp_json, otlp_request
from tests.service.listening import GOOD, learning, session_events
from tests.service.serving import Replica

HOSTILE = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
JSON, PROTOBUF, NDJSON = "application/json", "application/x-protobuf", "application/x-ndjson"

text = st.text(st.characters(codec="utf-8"), max_size=40)
line = st.one_of(text, st.just(GOOD), st.sampled_from(["", "\0", "a\nb", "\r", "\u2028", "<*>"]))
name = st.sampled_from(["blocks", "app", "nobody", "../etc", "", "\0", "é", "a" * 100])
form = st.builds(
    lambda lines, source: [
        ("/v1/logs", PROTOBUF, otlp_request(*lines, service=source, trace=lines[0]).SerializeToString()),
        ("/v1/logs", JSON, orjson.dumps(otlp_json(*lines, service=source))),
        ("/loki/api/v1/push", PROTOBUF, snappy(loki_push("{}", *[loki_entry(one, app=source) for one in lines]))),
        ("/loki/api/v1/push", JSON, orjson.dumps(loki_json(*lines, app=source))),
        ("/_bulk", NDJSON, created(*({"message": one} for one in lines), index=source)),
    ],
    st.lists(line, min_size=1, max_size=4),
    name,
).flatmap(st.sampled_from)


def snappy(body: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(body))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[tuple[asyncio.Runner, Replica]]:
    """A replica on a loop of its own, as examples of one test share it."""
    folder: Path = tmp_path_factory.mktemp("hostile-intake")
    (folder / "rules.yaml").write_text("sessions: {app: [trace, host.name]}\n")

    async def empty() -> None:
        client = open_client(redis_url)
        await client.flushall()
        await client.aclose()

    with asyncio.Runner() as runner:
        runner.run(empty())
        service = learning(redis_url, folder, intake_rules=folder / "rules.yaml")
        yield runner, runner.run(service.__aenter__())
        runner.run(service.__aexit__(None, None, None))


def post(served: tuple[asyncio.Runner, Replica], path: str, kind: str, body: bytes, **headers: str) -> Any:
    runner, replica = served
    return runner.run(replica.http.post(path, content=body, headers={"Content-Type": kind, **headers}))


@HOSTILE
@given(sent=form)
def test_any_line_of_any_source_is_answered(served: Any, sent: tuple[str, str, bytes]) -> None:
    path, _, _ = sent
    response = post(served, *sent)
    allowed = {"/v1/logs": (200, 400), "/loki/api/v1/push": (204, 400), "/_bulk": (200,)}
    assert response.status_code in allowed[path], response.content


@HOSTILE
@given(sent=form, at=st.integers(0, 300), noise=st.binary(max_size=8), packed=st.booleans())
def test_any_mangled_body_is_answered(
    served: Any, sent: tuple[str, str, bytes], at: int, noise: bytes, packed: bool
) -> None:
    path, kind, body = sent
    mangled = body[:at] + noise + body[at + 1 :]
    headers = {"Content-Encoding": "gzip"} if packed else {}
    response = post(served, path, kind, gzip.compress(mangled) if packed else mangled, **headers)
    assert response.status_code in (200, 204, 400, 413), response.content


def test_the_service_is_well_after_all_that(served: tuple[asyncio.Runner, Replica]) -> None:
    runner, replica = served
    fine = GOOD.replace("blk_1 ", "blk_99999 ")
    assert post(served, "/_bulk?source=blocks", NDJSON, created({"message": fine})).json()["errors"] is False
    assert runner.run(session_events(replica, "blocks", "blk_99999")) == 1
    assert runner.run(replica.get("/readyz"))["ready"]
