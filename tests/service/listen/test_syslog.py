"""Syslog into the service over real sockets: Python's own handler, raw senders, hostile ones."""

import asyncio
import contextlib
import logging
import logging.handlers
import socket
import ssl
from collections.abc import Iterable
from pathlib import Path

import httpx
import pytest

from models.errors import ConfigError
from service.listen.address import Address, addresses, check
from service.pipeline.answer import Answer, Wanted
from service.pipeline.request import IngestRequest
from service.settings import Settings
from tests.service.listen.conftest import PATIENCE_S, Certificates, Take
from tests.service.listening import GOOD, beside, session_events
from tests.service.serving import Child, until

BLOCKS = f"<14>blocks: {GOOD}"
APP = "<14>app: hello"


async def over_tcp(address: Address, *pieces: bytes, tls: ssl.SSLContext | None = None) -> None:
    """Send pieces over a connection of their own, then close it."""
    _, writer = await asyncio.open_connection(
        address.host, address.port, ssl=tls, server_hostname="127.0.0.1" if tls is not None else None
    )
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    writer.close()
    await writer.wait_closed()


def over_udp(address: Address, datagrams: Iterable[bytes]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for datagram in datagrams:
            sender.sendto(datagram, (address.host, address.port))


@pytest.mark.parametrize(("transport", "kind"), [("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM)])
async def test_pythons_handler_logs_into_the_source_that_its_ident_names(
    take: Take, transport: str, kind: socket.SocketKind
) -> None:
    def log(address: Address) -> None:
        handler = logging.handlers.SysLogHandler((address.host, address.port), socktype=kind)
        handler.ident = "blocks: "
        handler.handleError = lambda _record: pytest.fail("the handler could not send")  # type: ignore[method-assign]
        logger = logging.Logger("shop")
        logger.addHandler(handler)
        for _ in range(3):
            logger.warning(GOOD)
        handler.close()

    async with take() as taking:
        await beside(log, taking.at[transport])
        await taking.until_lines(3, "blocks")
        assert await session_events(taking.replica, "blocks", "blk_1") == 3
        assert await taking.count("tocsin_intake_messages_total", listener=transport) == 3


async def test_framing_and_cut_make_no_difference(take: Take) -> None:
    message = BLOCKS.encode()
    stream = b"%d %s%s\n%d %s%s\0" % (len(message), message, message, len(message), message, message)
    async with take() as taking:
        await over_tcp(taking.at["tcp"], stream)
        await over_tcp(taking.at["tcp"], *(stream[at : at + 1] for at in range(len(stream))))
        await taking.until_lines(8, "blocks")
        assert await session_events(taking.replica, "blocks", "blk_1") == 8


async def test_lines_of_a_connection_keep_their_order(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    async with take("tcp://127.0.0.1:0?source=app", batch_lines=50) as taking:
        core, seen = taking.replica.core, []
        ingest = core.ingest

        async def spy(request: IngestRequest, body: bytes, wanted: Wanted, key: str | None) -> Answer:
            seen.append(request.lines)
            return await ingest(request, body, wanted, key)

        monkeypatch.setattr(core, "ingest", spy)
        stream = b"".join(b"<14>x: step %d\n" % number for number in range(600))
        await over_tcp(taking.at["tcp"], *(stream[at : at + 1000] for at in range(0, len(stream), 1000)))
        await taking.until_lines(600)
        assert len(seen) >= 12
        assert [line for lines in seen for line in lines] == [f"step {number}" for number in range(600)]


async def test_rules_route_by_what_the_header_says(take: Take, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "routes:\n"
        "  - {when: {facility: local4, hostname: 'db-*', meta@1.env: prod}, source: blocks}\n"
        "  - {when: {app-name: '*'}, source: app}\n"
        "sessions: {app: [hostname, procid]}\n"
    )
    async with take(intake_rules=rules) as taking:
        over_udp(
            taking.at["udp"],
            [
                f'<165>1 - db-1 any 7 - [meta@1 env="prod"] {GOOD}'.encode(),
                b'<165>1 - db-1 any 7 - [meta@1 env="test"] some words',
                b"<165>Oct 11 22:14:15 web-1 any[8]: some words",
            ],
        )
        await taking.until_lines(1, "blocks")
        await taking.until_lines(2, "app")
        assert await session_events(taking.replica, "app", "db-1/7") == 1
        assert await session_events(taking.replica, "app", "web-1/8") == 1


async def test_messages_that_cannot_be_taken_are_counted_and_harm_no_other(
    take: Take, caplog: pytest.LogCaptureFixture
) -> None:
    async with take(syslog_max_bytes=600) as taking:
        stream = b"\n".join(
            [
                b"no priority", b"<14>1 - h a - - [unclosed", b"<14>1 2026-99-01T00:00:00Z h a - - - x", b"12three",
                b"<14>app: " + b"x" * 600, b"<14>nobody: hello", b"<14>no tag at all", b"<14>blocks: not its format",
                b"\xff\xfe\x00", APP.encode(), b"5 <1>",
            ]
        )  # fmt: skip
        await over_tcp(taking.at["tcp"], stream)
        over_udp(taking.at["udp"], [b"", b"\0", b"<999>x", b"<14>app: " + b"y" * 600, APP.encode()])
        await taking.until_lines(2)
        for listener, reason, number in [
            ("tcp", "priority", 2), ("tcp", "data", 1), ("tcp", "time", 1), ("tcp", "framing", 1),
            ("tcp", "too_long", 1), ("tcp", "source", 1), ("tcp", "no_source", 1), ("tcp", "refused", 1),
            ("tcp", "truncated", 1), ("udp", "empty", 2), ("udp", "priority", 1), ("udp", "too_long", 1),
        ]:  # fmt: skip
            await taking.until_dropped(number, listener, reason)
        await over_tcp(taking.at["tcp"], APP.encode())
        await taking.until_lines(3)
    # Once, not for each: what else there was stands in the metrics.
    assert len([record for record in caplog.records if "messages dropped" in record.message]) <= 2


async def test_a_full_inbox_stops_reading_and_loses_nothing_of_a_connection(take: Take) -> None:
    async with take(queue_lines=1_000, batch_lines=500) as taking:
        server = taking.replica.app.state.listeners.syslog
        sent = 0
        message = b"<14>app: " + b"word " * 40 + b"\n"
        _, writer = await asyncio.open_connection(taking.at["tcp"].host, taking.at["tcp"].port)
        async with taking.replica.core.sources.live["app"].lock:
            while not server.full:
                writer.write(message * 100)
                sent += 100
                await writer.drain()
                await asyncio.sleep(0)
            # Several times what it may hold: it waits at the sender, for however long this sleeps.
            writer.write(message * 20_000)
            sent += 20_000
            await asyncio.sleep(0.5)
            assert server.full
            assert len(server._inbox) < 1_000 + 2**18 // len(message) + 1
            over_udp(taking.at["udp"], [APP.encode()])
            await taking.until_dropped(1, "udp", "full")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await taking.until_lines(sent)


async def test_what_came_while_redis_was_away_is_judged_once_when_it_is_back(take: Take) -> None:
    async with take() as taking:
        core = taking.replica.core
        await over_tcp(taking.at["tcp"], APP.encode())
        await taking.until_lines(1)
        core._lost("Redis is away, says a test")
        await over_tcp(taking.at["tcp"], APP.encode(), b"\n", APP.encode())
        # It connects again by itself.
        await taking.until_lines(3)
        # Judged after them: had any been judged twice, the count would have passed by 4.
        await over_tcp(taking.at["tcp"], APP.encode())
        await taking.until_lines(4)
        assert not any(name.startswith("tocsin_intake_dropped_total") for name in await taking.replica.metrics())


async def test_connections_are_limited_in_number(take: Take) -> None:
    async with take(syslog_connections=2) as taking:
        held = [await asyncio.open_connection(taking.at["tcp"].host, taking.at["tcp"].port) for _ in range(3)]
        await taking.until_dropped(1, "tcp", "connections")
        assert await held[2][0].read() == b""
        await taking.until_count(2, "tocsin_syslog_connections")
        for _, writer in held:
            writer.close()
        await taking.until_count(0, "tocsin_syslog_connections")
        await over_tcp(taking.at["tcp"], APP.encode())
        await taking.until_lines(1)


async def test_a_silent_connection_is_closed_and_what_it_began_is_kept(take: Take) -> None:
    async with take(syslog_idle_s=0.5) as taking:
        reader, writer = await asyncio.open_connection(taking.at["tcp"].host, taking.at["tcp"].port)
        writer.write(APP.encode())
        assert await reader.read() == b""
        await taking.until_lines(1)
        writer.close()
        await taking.until_count(0, "tocsin_syslog_connections")


async def test_what_was_received_is_judged_before_it_stops(take: Take) -> None:
    async with take() as taking:
        _, writer = await asyncio.open_connection(taking.at["tcp"].host, taking.at["tcp"].port)
        writer.write(f"{APP}\n".encode() * 500 + APP.encode())
        await writer.drain()
        await taking.until_count(1, "tocsin_syslog_connections")
        metrics = taking.replica.core.metrics
    writer.close()
    assert metrics.lines.labels("app")._value.get() == 501


async def test_tls_with_and_without_a_certificate_of_the_sender(take: Take, certificates: Certificates) -> None:
    trusting = ssl.create_default_context(cafile=certificates.authority)
    known = ssl.create_default_context(cafile=certificates.authority)
    known.load_cert_chain(certificates.sender)
    frame = f"{len(APP)} {APP}".encode()
    async with take("tls://127.0.0.1:0", syslog_cert=certificates.service) as taking:
        await over_tcp(taking.at["tls"], frame, frame, tls=trusting)
        await over_tcp(taking.at["tls"], b"no TLS at all\n" * 50)
        await over_tcp(taking.at["tls"], frame, tls=known)
        await taking.until_lines(3)
        assert await taking.count("tocsin_intake_messages_total", listener="tls") == 3
    async with take(
        "tls://127.0.0.1:0", syslog_cert=certificates.service, syslog_clients=certificates.authority
    ) as taking:
        before = await taking.count("tocsin_lines_total", source="app")
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            await over_tcp(taking.at["tls"], frame, tls=trusting)
        await over_tcp(taking.at["tls"], frame, tls=known)
        await taking.until_lines(before + 1)


@pytest.mark.slow
async def test_worker_processes_share_the_ports(take: Take, redis_url: str, tmp_path: Path) -> None:
    async with take(""):
        taken = [socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]
        for probe in taken:
            probe.bind(("127.0.0.1", 0))
        udp, tcp = (Address(t, "127.0.0.1", p.getsockname()[1]) for t, p in zip(("udp", "tcp"), taken, strict=True))
        for probe in taken:
            probe.close()
    child = Child(redis_url, tmp_path / "bundles", workers=2, syslog=f"{udp},{tcp}")
    try:
        async with httpx.AsyncClient() as http:
            await child.ready(http)

            async def settled() -> bool:
                text = (await http.get(f"{child.url}/metrics")).text
                return 'tocsin_lines_total{source="app"} 60.0' in text.splitlines()

            for _ in range(20):
                await over_tcp(tcp, f"{APP}\n".encode())
                over_udp(udp, [APP.encode(), APP.encode()])
            await until(settled, "all lines were judged", PATIENCE_S)
        child.terminate()
        assert await child.ended() == 0
    finally:
        child.kill()


@pytest.mark.parametrize(
    "text",
    ["514", "udp://", "udp://h", "http://h:1", "tcp://h:x", "tcp://h:99999", "tcp://h:1/x", "tcp://h:1?sauce=x", "tcp://u@h:1"],
)  # fmt: skip
def test_addresses_that_do_not_read_are_told(text: str) -> None:
    with pytest.raises(ConfigError, match="no address for syslog"):
        addresses(f"udp://127.0.0.1:514,{text}")


def test_addresses_read() -> None:
    assert addresses(" udp://127.0.0.1:514 , tls://[::1]:6514?source=shop,") == [
        Address("udp", "127.0.0.1", 514),
        Address("tls", "::1", 6514, "shop"),
    ]
    assert addresses(None) == addresses("") == []


def test_what_cannot_be_had_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match=rf"cannot take syslog on {address} .*TOCSIN_SYSLOG"):
            check(Settings(syslog=address))
    with pytest.raises(ConfigError, match="TOCSIN_SYSLOG_CERT"):
        check(Settings(syslog="tls://127.0.0.1:0"))
    with pytest.raises(ConfigError, match="cannot read the certificate"):
        check(Settings(syslog="tls://127.0.0.1:0", syslog_cert=tmp_path / "none.pem"))


async def test_without_addresses_nothing_listens(take: Take) -> None:
    async with take("") as taking:
        assert taking.at == {}
