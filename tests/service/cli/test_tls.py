"""``tocsin serve`` over TLS, with certificates of an authority of our own: who is served, who is not."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import trustme
from redis.asyncio import Redis
from typer.testing import CliRunner

from service.access import own
from service.cli.app import app
from tests.service.listening import beside
from tests.service.serving import Child


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(params=[1, 2], ids=["one_process", "two_workers"])
async def child(
    redis: Redis, redis_url: str, tmp_path: Path, authority: trustme.CA, request: pytest.FixtureRequest
) -> AsyncIterator[Child]:
    """It asks clients for certificates of the authority."""
    await redis.ping()
    pem = tmp_path / "service.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = {"tls_cert": pem, "tls_client_ca": tmp_path / "ca.pem"}
    child = Child(redis_url, tmp_path / "bundles", workers=request.param, **tls)
    child.url = child.url.replace("http://", "https://")
    try:
        yield child
        child.terminate()
        await child.ended()
    finally:
        child.kill()


async def test_only_who_has_a_certificate_is_served_and_only_over_tls(
    child: Child, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = tmp_path / "client.pem"
    authority.issue_cert("agent@example.org").private_key_and_cert_chain_pem.write_to_path(str(shown))
    known = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    known.load_cert_chain(shown)
    async with httpx.AsyncClient(verify=known) as http:
        await child.ready(http)
        answer = await http.get(f"{child.url}/healthz")
        assert answer.headers["strict-transport-security"]
        assert "server" not in answer.headers
    async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))) as stranger:
        with pytest.raises(httpx.TransportError):
            await stranger.get(f"{child.url}/healthz")
    async with httpx.AsyncClient() as plain:
        with pytest.raises(httpx.TransportError):
            await plain.get(f"{child.url.replace('https', 'http')}/healthz")
    monkeypatch.setenv(own.CA_FILE, str(tmp_path / "ca.pem"))
    monkeypatch.setenv(own.CERTIFICATE, str(shown))
    done = await beside(CliRunner().invoke, app, ["sources", "--url", child.url])
    assert done.exit_code == 0, done.exception
    assert "postgres" in done.output
