"""Debian's real Alertmanager takes what we send, and shows it as an active alert."""

import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from service.notify.config import Target
from tests.service.notify.conftest import Clock, OpenSender, counted, raise_incidents, rounds_until
from tests.service.serving import until

PATIENCE_S = 120.0
CONFIG = """
route: {receiver: nobody, group_by: [source], group_wait: 1s}
receivers: [{name: nobody}]
"""


@pytest.fixture
async def alertmanager(require_program: Callable[[str], str], tmp_path: Path) -> AsyncIterator[str]:
    """Address of an Alertmanager on a free port, which it chooses itself."""
    program = require_program("prometheus-alertmanager")
    (tmp_path / "alertmanager.yml").write_text(CONFIG)
    log = tmp_path / "alertmanager.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                program, f"--config.file={tmp_path / 'alertmanager.yml'}", f"--storage.path={tmp_path / 'data'}",
                "--web.listen-address=127.0.0.1:0", "--cluster.listen-address=",
            ],
            stdout=output, stderr=output,
        )  # fmt: skip
    try:
        address = ""

        async def ready() -> bool:
            nonlocal address
            assert process.poll() is None, log.read_text()
            found = [
                word for word in log.read_text().replace('"', " ").split() if word.startswith("address=127.0.0.1:")
            ]
            if not found:
                return False
            address = "http://" + found[-1].removeprefix("address=")
            try:
                async with httpx.AsyncClient(trust_env=False) as http:
                    return (await http.get(f"{address}/-/ready")).status_code == 200
            except httpx.TransportError:
                return False

        await until(ready, "Alertmanager is ready", PATIENCE_S)
        yield address
    finally:
        process.kill()
        process.wait()


async def alerts(address: str) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(trust_env=False) as http:
        response = await http.get(f"{address}/api/v2/alerts")
    assert response.status_code == 200
    return list(response.json())


async def test_incidents_floods_and_tests_are_alerts(
    redis: Redis, alertmanager: str, sender_to: OpenSender, clock: Clock
) -> None:
    # Alertmanager goes by the real time.
    clock.now = time.time()
    budget = Target("any", "webhook", "").budget.model_copy(update={"notices": 2, "window_s": 60.0})
    sender = sender_to(alertmanager, name="am", kind="alertmanager", budget=budget)
    await sender.begin()
    for number, name in enumerate(["a", "b", "c", "d"]):
        await raise_incidents(redis, name, score=1.0 - number / 10_000)
    await rounds_until(sender, lambda: counted(sender, "sent") == 2, "two were taken")
    clock.now += 61.0
    await rounds_until(sender, lambda: counted(sender, "sent") == 3, "the rest was taken")
    assert (await sender.test()).sent
    found: dict[tuple[str, str | None], dict[str, Any]] = {}

    async def all_there() -> bool:
        listed = await alerts(alertmanager)
        found.update({(one["labels"]["alertname"], one["labels"].get("incident")): one for one in listed})
        return len(found) >= 4

    await until(all_there, "all are listed", PATIENCE_S)
    assert set(found) == {
        ("TocsinIncident", "a"), ("TocsinIncident", "b"), ("TocsinIncidentsHeldBack", None), ("TocsinTest", None)
    }  # fmt: skip
    incident = found["TocsinIncident", "a"]
    assert incident["status"]["state"] in ("active", "unprocessed")
    assert incident["labels"] == {
        "alertname": "TocsinIncident", "source": "s", "severity": "warning", "detector": "new_event", "incident": "a"
    }  # fmt: skip
    assert "gone for good" in incident["annotations"]["description"]
    assert incident["annotations"]["link"] == "https://tocsin.example/page/incidents/a" == incident["generatorURL"]
    assert "2 more incidents" in found["TocsinIncidentsHeldBack", None]["annotations"]["summary"]


async def test_hostile_names_are_taken_too(
    redis: Redis, alertmanager: str, sender_to: OpenSender, clock: Clock
) -> None:
    clock.now = time.time()
    sender = sender_to(alertmanager + "/", name="am", kind="alertmanager")
    await sender.begin()
    await raise_incidents(
        redis, "a", line='"}\n{{ .Labels }}\x00\ud83d\ude00'.encode("utf-16", "surrogatepass").decode("utf-16")
    )
    await rounds_until(sender, lambda: counted(sender, "sent") + counted(sender, "dead") > 0, "it was settled")
    assert counted(sender, "sent") == 1
    found: list[dict[str, Any]] = []

    async def there() -> bool:
        found[:] = await alerts(alertmanager)
        return bool(found)

    await until(there, "it is listed", PATIENCE_S)
    [alert] = found
    assert "{{ .Labels }}\\x00😀" in alert["annotations"]["description"]
