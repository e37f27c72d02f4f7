"""No other site's page changes anything in the name of whoever looks at it."""

import pytest

from tests.service.page.markup import quarantined
from tests.service.serving import Replica

OWN = "http://tocsin"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"Origin": OWN}, 201),
        ({"Sec-Fetch-Site": "same-origin", "Origin": OWN}, 201),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://logs.example"}, 201),
        ({"Origin": "https://logs.example", "X-Forwarded-Host": "logs.example"}, 201),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": OWN}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://tocsin:81"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": OWN, "Content-Type": "text/plain"}, 415),
        ({"Origin": OWN, "Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
async def test_what_browsers_send_must_come_from_our_own_page(
    replica: Replica, headers: dict[str, str], status: int
) -> None:
    incident = (await replica.ingest("blocks", [quarantined(1)]))["verdicts"][0]["incident"]
    body = b'{"incident": "%s", "label": "true_positive"}' % incident.encode()
    response = await replica.http.post(
        "/feedback", content=body, headers={"Content-Type": "application/json", **headers}
    )
    assert response.status_code == status, response.text
    given = (await replica.get("/feedback"))["feedback"]
    assert len(given) == (status == 201)
    if status != 201:
        assert response.json()["error"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/models/blocks/rollback"),
        ("POST", "/models/blocks/activate"),
        ("POST", "/models/blocks/shadow"),
        ("PUT", "/sources/other"),
        ("DELETE", "/feedback/0123456789abcdef"),
        ("DELETE", "/feedback?author=ada"),
    ],
)
async def test_all_that_people_change_is_held_to_it(replica: Replica, method: str, path: str) -> None:
    response = await replica.http.request(method, path, json={}, headers={"Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 403
    assert "another site" in response.json()["error"]


async def test_a_link_from_another_site_may_be_followed_and_lines_may_be_sent_from_anywhere(replica: Replica) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://app.example"}
    assert (await replica.http.get("/", headers={**foreign, "Accept": "text/html"})).status_code == 200
    assert (await replica.http.get("/feedback", headers=foreign)).status_code == 200
    sent = {"source": "blocks", "lines": [quarantined(1)]}
    assert (await replica.http.post("/ingest", json=sent, headers=foreign)).status_code == 200
