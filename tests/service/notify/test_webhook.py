"""What a webhook gets can be verified as the documentation says, and no secret is told to anybody else."""

import hashlib
import hmac
import logging
import re
from pathlib import Path

import pytest
from redis.asyncio import Redis

import service.notify
from service.notify.config import Target
from service.notify.peer import Peer
from service.notify.webhook import Webhook
from tests.service.notify.conftest import (
    Answer,
    Clock,
    HttpPeer,
    OpenSender,
    counted,
    raise_incidents,
    rounds_until,
)

DOCS = Path(service.notify.__file__).parents[2] / "docs" / "notifications.md"


async def test_the_signature_is_verified_as_documented(redis: Redis, peer: HttpPeer, sender_to: OpenSender) -> None:
    sender = sender_to(peer.url, secret=b"the secret")
    await sender.begin()
    await raise_incidents(redis, "a")
    await rounds_until(sender, lambda: peer.requests, "a notice came")
    request = peer.requests[0]
    [code] = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    documented: dict[str, object] = {}
    exec(code, documented)
    verified = documented["verified"]
    assert callable(verified)
    now = 1_800_000_000.0
    assert verified(b"the secret", request.headers, request.body, now)
    assert not verified(b"another", request.headers, request.body, now)
    assert not verified(b"the secret", request.headers, request.body + b" ", now)
    assert not verified(b"the secret", request.headers, request.body, now + 3600), "an old copy passes"
    later = {**request.headers, "x-tocsin-timestamp": str(int(now) + 3600)}
    assert not verified(b"the secret", later, request.body, now + 3600), "its time can be changed"
    expected = hmac.new(b"the secret", b"1800000000." + request.body, hashlib.sha256).hexdigest()
    assert request.headers["x-tocsin-signature"] == f"v1={expected}"


async def test_without_a_secret_nothing_is_signed_and_a_token_goes_along(
    redis: Redis, peer: HttpPeer, sender_to: OpenSender
) -> None:
    sender = sender_to(peer.url, token="letmein")
    await sender.begin()
    await raise_incidents(redis, "a")
    await rounds_until(sender, lambda: peer.requests, "a notice came")
    headers = peer.requests[0].headers
    assert "x-tocsin-signature" not in headers
    assert headers["authorization"] == "Bearer letmein"


async def test_no_secret_is_logged_or_kept(
    redis: Redis, peer: HttpPeer, sender_to: OpenSender, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    url = peer.url.replace("http://", "http://user:passw0rd@") + "/services/T0KEN?key=PRIVATE"
    sender = sender_to(url, secret=b"SIGNING", token=None)
    await sender.begin()
    peer.script = [Answer(500), Answer(410)]
    await raise_incidents(redis, "a")
    await rounds_until(sender, lambda: counted(sender, "dead") == 1, "it is dead")
    assert peer.requests[0].path == "/services/T0KEN?key=PRIVATE"
    assert peer.requests[0].headers["authorization"].startswith("Basic ")
    kept = [str(await redis.dump(key)) for key in await redis.keys("*")]
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
    assert any("gave up" in line for line in told)
    for text in (*told, *kept, repr(sender.target), sender.target.address):
        for secret in ("passw0rd", "T0KEN", "PRIVATE", "SIGNING"):
            assert secret not in text
    assert sender.target.address == peer.url


async def test_hostile_words_of_a_log_line_are_spelt_out_and_cut(
    redis: Redis, peer: HttpPeer, sender_to: OpenSender
) -> None:
    sender = sender_to(peer.url)
    await sender.begin()
    await raise_incidents(redis, "a", line="\x1b]0;owned\x07\u202e" + "x" * 100_000, template="t" * 5_000 + "\n")
    await rounds_until(sender, lambda: peer.requests, "a notice came")
    told = peer.requests[0].json
    assert len(peer.requests[0].body) < 20_000
    for text in (told["title"], told["text"].replace("\n", ""), told["incident"]["line"]):
        assert text.isprintable()
    assert told["incident"]["line"].startswith("\\x1b]0;owned\\x07\\u202e")


async def test_an_endless_answer_is_not_read_to_its_end(peer: HttpPeer) -> None:
    channel = Webhook(Target("hook", "webhook", peer.url), Clock())
    http = Peer(peer.url, 30.0, None)
    peer.otherwise = Answer(400, {"Content-Length": str(10**12)}, b"y" * 100_000)
    outcome = await http.post(b"{}", {})
    assert outcome.refused
    assert len(outcome.reason) < 1_000
    await http.close()
    await channel.close()
