"""What Apprise sends, by its own plugin for JSON to a real HTTP server."""

import subprocess
import sys

import pytest
from redis.asyncio import Redis

from models.errors import ConfigError
from service.notify.channels import open_channel
from service.notify.config import Target
from tests.service.notify.conftest import (
    HANG,
    Answer,
    Clock,
    HttpPeer,
    OpenSender,
    counted,
    raise_incidents,
    rounds_until,
)


def address(peer: HttpPeer, query: str = "") -> str:
    return peer.url.replace("http://", "json://user:passw0rd@") + f"/in{query}"


async def test_an_incident_arrives_after_a_failure(redis: Redis, peer: HttpPeer, sender_to: OpenSender) -> None:
    sender = sender_to(address(peer), kind="apprise", timeout_s=60.0)
    await sender.begin()
    peer.script = [Answer(500)]
    await raise_incidents(redis, "a", line="gone <b>for</b> good")
    await rounds_until(sender, lambda: counted(sender, "sent") == 1, "it was sent")
    assert counted(sender, "failed") == 1
    told = peer.requests[-1].json
    assert peer.requests[-1].path == "/in"
    assert told["title"] == "warning: s: gone <*>"
    assert told["type"] == "warning"
    assert "gone <b>for</b> good" in told["message"]
    assert told["message"].endswith("https://tocsin.example/page/incidents/a")
    assert sender.target.address == "json://"


async def test_a_service_that_hangs_is_given_up_in_time(redis: Redis, peer: HttpPeer, sender_to: OpenSender) -> None:
    sender = sender_to(address(peer, "?rto=600"), kind="apprise", timeout_s=0.5)
    await sender.begin()
    peer.otherwise = Answer(HANG)
    await raise_incidents(redis, "a")
    await rounds_until(sender, lambda: counted(sender, "failed") == 1, "it was given up")
    assert len(peer.requests) == 1
    assert counted(sender, "sent") == 0
    peer.close()


def test_an_address_that_apprise_cannot_read_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="notifier chat: Apprise cannot read its url") as raised:
        open_channel(Target("chat", "apprise", "pigeon://S3CRET"), Clock())
    assert "S3CRET" not in str(raised.value)


def test_without_the_extra_webhooks_work_and_apprise_names_it() -> None:
    code = """
import sys
sys.modules["apprise"] = None
from models.errors import ConfigError
from service.notify.channels import open_channel
from service.notify.config import Target
open_channel(Target("hook", "webhook", "http://b"), lambda: 0.0)
try:
    open_channel(Target("chat", "apprise", "json://b"), lambda: 0.0)
except ConfigError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'tocsin[notify]'" in done.stdout
