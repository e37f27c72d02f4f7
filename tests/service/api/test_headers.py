"""What every answer tells browsers, whatever it is an answer to."""

import pytest

from service.api.headers import PAGE_POLICY, POLICY
from tests.service.serving import Replica

HTML = {"Accept": "text/html"}


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/", 200, {}),
        ("GET", "/incidents", 200, {}),
        ("GET", "/metrics", 200, {}),
        ("GET", "/healthz", 200, {}),
        ("GET", "/openapi.json", 200, {}),
        ("GET", "/incidents/none", 404, {}),
        ("GET", "/nowhere", 404, {}),
        ("PATCH", "/incidents", 405, {}),
        ("POST", "/feedback", 422, {}),
        ("POST", "/ingest", 400, {}),
        ("GET", "/", 200, HTML),
        ("GET", "/page/sources", 200, HTML),
        ("GET", "/page/incidents/none", 404, HTML),
        ("GET", "/page/static/page.css", 200, {}),
        ("GET", "/login?here=1", 303, HTML),
    ],
)
async def test_every_answer_brings_them(
    replica: Replica, method: str, path: str, status: int, kind: dict[str, str]
) -> None:
    answer = await replica.http.request(method, path, headers=kind)
    assert answer.status_code == status, answer.text
    told = answer.headers
    html = told.get("content-type", "").startswith("text/html") or "/static/" in path
    assert told.get_list("content-security-policy") == [PAGE_POLICY if html else POLICY]
    assert "frame-ancestors 'none'" in told["content-security-policy"]
    assert "unsafe" not in told["content-security-policy"]
    assert told.get_list("x-content-type-options") == ["nosniff"]
    assert told.get_list("referrer-policy") == ["same-origin"]
    assert told.get_list("cache-control") == ["no-cache" if "/static/" in path else "no-store"]
    assert "strict-transport-security" not in told


async def test_a_fault_of_ours_says_nothing_and_brings_them_too(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(replica.core, "readiness", broken)
    answer = await replica.http.get("/readyz")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["error"]
    assert answer.headers["content-security-policy"] == POLICY
