"""No name, redirect or spelling leads a notifier to where credentials lie; TLS is held to the name all the same."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from models.errors import ConfigError
from service.notify.channels import open_channel
from service.notify.config import NotifyConfig, Target
from service.notify.notice import of_test
from service.notify.peer import Peer
from service.notify.reach import Guarded, OutOfReach, Reach
from tests.service.notify.conftest import Answer, Clock, HttpPeer

Resolver = Callable[..., Any]


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200",
        "168.63.129.16", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "0.0.0.0", "::",
        "224.0.0.1", "ff02::1",
    ],
)  # fmt: skip
def test_where_credentials_lie_is_never_in_reach(address: str) -> None:
    assert not Reach(private=True).allows(address)
    assert not Reach(private=False).allows(address)


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "192.168.1.1", "172.16.0.1", "127.0.0.1", "::1", "fd12::1", "100.64.0.1"]
)
def test_private_addresses_are_in_reach_unless_the_file_says_no(address: str) -> None:
    assert Reach(private=True).allows(address)
    assert not Reach(private=False).allows(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
def test_public_addresses_are_in_reach(address: str) -> None:
    assert Reach(private=False).allows(address)


def answering(monkeypatch: pytest.MonkeyPatch, *rounds: list[str]) -> list[str]:
    """Names of the test's domain resolve to one list of addresses after the other; which were asked for."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolved(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if not str(host).endswith(".example"):
            return real(host, port, *args, **kwargs)
        addresses = rounds[min(len(asked), len(rounds) - 1)]
        asked.append(str(host))
        return [found for address in addresses for found in real(address, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    return asked


async def test_a_name_that_leads_to_credentials_is_refused_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, ["127.0.0.1", "169.254.169.254"])
    http = Peer("http://hook.example/latest/meta-data", 30.0, None)
    outcome = await http.post(b"{}", {})
    assert outcome.refused
    assert "link-local" in outcome.reason
    await http.close()


async def test_the_connection_goes_to_the_address_that_was_looked_at(
    monkeypatch: pytest.MonkeyPatch, peer: HttpPeer
) -> None:
    asked = answering(monkeypatch, ["127.0.0.1"], ["169.254.169.254"])
    url = peer.url.replace("127.0.0.1", "hook.example")
    http = Peer(url, 30.0, None)
    assert (await http.post(b"{}", {})).sent
    assert asked == ["hook.example"], "the name was looked up again"
    assert peer.requests[0].headers["host"] == url.removeprefix("http://")
    assert (await http.post(b"{}", {})).refused
    assert len(peer.requests) == 1
    await http.close()


async def test_the_next_address_is_tried_where_nobody_listens_at_the_first(
    monkeypatch: pytest.MonkeyPatch, peer: HttpPeer
) -> None:
    answering(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    http = Peer(peer.url.replace("127.0.0.1", "hook.example"), 30.0, None)
    assert (await http.post(b"{}", {})).sent
    await http.close()


async def test_no_redirect_is_followed(peer: HttpPeer, other_peer: HttpPeer) -> None:
    for url, kind in ((peer.url, "webhook"), (peer.url.replace("http", "json"), "apprise")):
        channel = open_channel(Target("hook", kind, url), Clock())  # type: ignore[arg-type]
        peer.otherwise = Answer(307, {"Location": other_peer.url})
        assert not (await channel.send(of_test("1", "hook", 0.0, None))).sent
        await channel.close()
    assert len(peer.requests) >= 2
    assert other_peer.requests == []


async def test_apprise_is_held_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, ["169.254.169.254"])
    channel = open_channel(Target("chat", "apprise", "json://hook.example/in"), Clock())
    outcome = await channel.send(of_test("1", "chat", 0.0, None))
    assert outcome.refused
    assert "link-local" in outcome.reason
    await channel.close()


def test_what_stands_where_others_have_a_host_is_not_looked_up() -> None:
    from service.notify.services import Services

    chat = Services(Target("chat", "apprise", "slack://TAAAAAAAAA/BBBBBBBBBB/cccccccccccccccccccccccc/#alerts"))
    mail = Services(Target("mail", "apprise", "mailto://user:word@mail.example"))
    assert chat._hosts == []
    assert mail._hosts == ["mail.example"]


async def test_tls_is_verified_by_the_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answering(monkeypatch, ["127.0.0.1"])
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("hook.example").configure_cert(serving)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=serving)
    port = server.sockets[0].getsockname()[1]
    for name, taken in (("hook", True), ("other", False)):
        http = Peer(f"https://{name}.example:{port}/", 30.0, None)
        outcome = await http.post(b"{}", {})
        assert outcome.sent == taken, outcome
        assert taken or "certificate" in outcome.reason.lower()
        await http.close()
    server.close()


async def test_a_name_without_an_address_is_a_failure_that_passes() -> None:
    async with httpx.AsyncClient(transport=Guarded(Reach())) as http:
        with pytest.raises(httpx.ConnectError, match="no address of the host") as raised:
            await http.get("http://nobody.invalid/")
    assert not isinstance(raised.value, OutOfReach)


@pytest.mark.parametrize(
    ("url", "private"),
    [("http://169.254.169.254/latest", "true"), ("http://[fe80::1]/", "true"), ("http://10.0.0.1/", "false")],
)
def test_a_file_that_names_such_an_address_is_refused(tmp_path: Path, url: str, private: str) -> None:
    path = tmp_path / "notify.yaml"
    path.write_text(f"private_networks: {private}\nnotifiers: [{{name: hook, kind: webhook, url: '{url}'}}]\n")
    with pytest.raises(ConfigError, match="notifier hook: the host's address is link-local"):
        NotifyConfig.load(path)
