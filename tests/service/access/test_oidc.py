"""Tokens of an OpenID Connect issuer: a real signature by published keys lets in, and nothing else."""

import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from redis.asyncio import Redis

from models.errors import ConfigError
from service.access.oidc import Issuer
from service.settings import Settings
from tests.service.access.making import bearer, made
from tests.service.listening import RAW
from tests.service.serving import Replica, running


class Published:
    """An issuer's two documents over HTTP, how often its keys were asked for, and tokens signed by it."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65_537, 2_048)
        self.keys: list[dict[str, Any]] = [published(self.key, "one")]
        self.asked = 0
        this = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                this.asked += self.path == "/keys"
                told = {"keys": this.keys} if self.path == "/keys" else this.about
                body = json.dumps(told).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.about = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}

    def token(self, key: Any = None, kid: str = "one", algorithm: str = "RS256", **claims: Any) -> str:
        now = int(time.time())
        usual = {"iss": self.url, "aud": "tocsin", "sub": "u-1", "iat": now, "exp": now + 3_600, "scope": "tocsin:read"}
        told = {name: value for name, value in (usual | claims).items() if value is not None}
        return jwt.encode(told, self.key if key is None else key, algorithm=algorithm, headers={"kid": kid})


def published(key: RSAPrivateKey, kid: str) -> dict[str, Any]:
    return {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig"}


@pytest.fixture
def issuer() -> Iterator[Published]:
    found = Published()
    thread = threading.Thread(target=found.server.serve_forever)
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


@pytest.fixture
async def replica(redis: Redis, redis_url: str, tmp_path: Path, issuer: Published) -> AsyncIterator[Replica]:
    ops = bearer(await made(redis, "ops"))
    settings = {"oidc_issuer": issuer.url, "oidc_name": "email"}
    async with running(redis_url, tmp_path / "bundles", **settings) as replica:
        for name in ("app", "other"):
            assert (await replica.http.put(f"/sources/{name}", json=RAW, headers=ops)).status_code == 200
        yield replica


async def status(replica: Replica, token: str, method: str = "GET", path: str = "/sources", **how: Any) -> int:
    return (await replica.http.request(method, path, headers=bearer(token), **how)).status_code


async def test_a_token_lets_in_with_its_scopes_sources_and_name(replica: Replica, issuer: Published) -> None:
    token = issuer.token(scope="openid tocsin:read tocsin:feedback tocsin:source:app", email="ada@example.org")
    listed = await replica.http.get("/sources", headers=bearer(token))
    assert [one["name"] for one in listed.json()["sources"]] == ["app"]
    mark = {"kind": "deploy", "author": "eve"}
    given = await replica.http.post("/sources/app/mutes", json=mark, headers=bearer(token))
    assert given.json()["author"] == "ada@example.org"
    assert await status(replica, token, "POST", "/sources/other/mutes", json=mark) == 403
    assert await status(replica, token, "PUT", "/sources/app", json=RAW) == 403
    foreign = {**bearer(token), "Origin": "https://evil.example"}
    assert (await replica.http.post("/sources/app/mutes", json=mark, headers=foreign)).status_code == 403
    assert (await replica.http.get("/sources")).status_code == 401


async def test_what_is_wrong_with_a_token_keeps_it_out(replica: Replica, issuer: Published) -> None:
    other = rsa.generate_private_key(65_537, 2_048)
    now = int(time.time())
    secret = "a shared secret that is long enough for HMAC, and then some"
    for what, token in {
        "signed by another key": issuer.token(other),
        "signed by a key that is not published": issuer.token(other, kid="two"),
        "of another issuer": issuer.token(iss="https://evil.example"),
        "for somebody else": issuer.token(aud="other"),
        "over": issuer.token(exp=now - 3_600),
        "without an end": issuer.token(exp=None),
        "without a subject": issuer.token(sub=None),
        "not valid yet": issuer.token(nbf=now + 3_600),
        "unsigned": issuer.token("", algorithm="none"),
        "signed by a secret": issuer.token(secret, algorithm="HS256"),
        "of another kind of key": issuer.token(ec.generate_private_key(ec.SECP256R1()), algorithm="ES256"),
        "changed": issuer.token()[:-4] + "AAAA",
        "a name that drives a terminal": issuer.token(email="\x1b[31mroot"),
        "no token": "ey.ey.ey",
    }.items():
        assert await status(replica, token) in (401, 429), what
    assert await status(replica, issuer.token(scope="openid read")) == 403
    assert await status(replica, issuer.token(scope=["tocsin:read"])) == 200
    assert await status(replica, issuer.token(scope={"tocsin:read": 1})) == 403


async def test_keys_are_fetched_seldom_and_changed_ones_are_found(issuer: Published) -> None:
    now = [0.0]
    checked = Issuer(Settings(oidc_issuer=issuer.url), lambda: now[0])
    for _ in range(5):
        assert await checked.caller(issuer.token())
        assert await checked.caller(issuer.token(kid="unknown")) is None
    assert issuer.asked == 1
    fresh = rsa.generate_private_key(65_537, 2_048)
    issuer.keys = [published(fresh, "two"), {"kty": "oct", "k": "c2VjcmV0", "kid": "three"}, {"kty": "?"}, "none"]
    now[0] += 11.0
    assert await checked.caller(issuer.token(fresh, kid="two"))
    assert await checked.caller(issuer.token()) is None, "the old key is published no more"
    assert issuer.asked == 2
    issuer.about = {"issuer": "https://evil.example", "jwks_uri": f"{issuer.url}/keys"}
    now[0] += 301.0
    assert await checked.caller(issuer.token(fresh, kid="two")), "what does not name itself changes nothing"
    assert issuer.asked == 2


@pytest.mark.parametrize("address", ["http://issuer.example", "issuer.example", "", "ftp://issuer.example"])
def test_an_issuer_that_others_could_play_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="https"):
        Issuer(Settings(oidc_issuer=address))
