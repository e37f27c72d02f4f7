"""What ``/openapi.json`` promises, held against the service: schemathesis sends what each call declares, and what none
does, and looks at status, media type and schema of what comes back.
"""

import asyncio
from typing import Any

import httpx
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.api.app import ROUTERS
from tests.golden import blocks
from tests.service.serving import Replica


@schemathesis.serializer("application/x-ndjson", "application/x-protobuf", "application/vnd.elasticsearch+x-ndjson")
def _as_it_is(_context: Any, value: Any) -> bytes:
    data: bytes = value.data if hasattr(value, "data") else str(value).encode()
    return data


STEADY = settings(
    max_examples=12,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
ENDLESS = "GET /incidents/stream"
"""Has tests of its own."""
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


def _document() -> dict[str, Any]:
    app = FastAPI()
    for module in ROUTERS:
        app.include_router(module.router)
    return app.openapi()


CALLS = sorted(f"{method.upper()} {path}" for path, methods in _document()["paths"].items() for method in methods)


@pytest.fixture(scope="module")
def served(served: tuple[asyncio.Runner, Replica]) -> tuple[asyncio.Runner, Replica]:
    """A replica with incidents to ask for."""
    runner, replica = served
    runner.run(replica.ingest("blocks", blocks.golden_log()))
    return served


@pytest.fixture(scope="module")
def contract(served: tuple[asyncio.Runner, Replica]) -> Any:
    """The document that the service gives out."""
    runner, replica = served
    return schemathesis.openapi.from_dict(runner.run(replica.get("/openapi.json")))


@pytest.fixture(scope="module")
def known(served: tuple[asyncio.Runner, Replica]) -> dict[str, list[str]]:
    """Values that lead somewhere, by the name of a parameter of a path."""
    runner, replica = served
    incidents = [incident["id"] for incident in runner.run(replica.get("/incidents"))["incidents"]]
    assert incidents
    return {"source": ["blocks", "shop"], "name": ["blocks", "shop", "fresh"], "incident": incidents[:3]}


@pytest.mark.parametrize("call", [call for call in CALLS if call != ENDLESS])
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_answers_are_those_declared(
    served: tuple[asyncio.Runner, Replica],
    contract: Any,
    known: dict[str, list[str]],
    call: str,
    mode: GenerationMode,
) -> None:
    runner, replica = served
    method, path = call.split(" ", 1)
    operation = contract[path][method]
    if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query or operation.path_parameters):
        return

    @STEADY
    @given(case=operation.as_strategy(generation_mode=mode), data=st.data())
    def sent(case: Any, data: st.DataObject) -> None:
        for name in case.path_parameters:
            if name in known and data.draw(st.booleans()):
                case.path_parameters[name] = data.draw(st.sampled_from(known[name]))
        response = runner.run(_sent(replica.http, case))
        assert response.status_code < 500 or response.status_code == 501, (case.as_curl_command(), response.text)
        case.validate_response(response, checks=CHECKS[:1] if method == "HEAD" else CHECKS)

    sent()


async def _sent(http: httpx.AsyncClient, case: Any) -> httpx.Response:
    sent = case.as_transport_kwargs(base_url="http://tocsin")
    sent.pop("cookies", None)
    sent["content"] = sent.pop("data", None) or None  # as requests and as httpx name it
    return await http.request(**sent)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/no/such/call", 404), ("DELETE", "/ingest", 405), ("POST", "/feedback", 400)],
)
def test_what_the_framework_refuses_is_said_in_the_words_of_all_refusals(
    served: tuple[asyncio.Runner, Replica], method: str, path: str, status: int
) -> None:
    runner, replica = served
    headers = {"Content-Type": "application/json"}
    response = runner.run(replica.http.request(method, path, content=b"\xff", headers=headers))
    assert response.status_code == status
    assert set(response.json()) == {"error"}
