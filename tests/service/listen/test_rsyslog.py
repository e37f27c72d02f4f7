"""Debian's rsyslogd, by the configurations that the documentation has for copying."""

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.listen.address import Address
from tests.service.listen.conftest import PATIENCE_S, Certificates, Take
from tests.service.listening import beside, session_events
from tests.service.serving import until

SHIPPERS = Path(__file__).parents[3] / "docs" / "shippers"
LINES = [f"240501 0000{n:02d} 21 INFO store.Names: allocate blk_{n % 3} for /jobs/3/part-{n}" for n in range(30)]


@pytest.fixture
def rsyslogd(require_program: Callable[[str], str]) -> str:
    # Debian keeps it off the PATH of users.
    return shutil.which("rsyslogd", path="/usr/sbin:/sbin") or require_program("rsyslogd")


@contextmanager
def running_rsyslogd(program: str, folder: Path, shipped: str) -> Iterator[Path]:
    """rsyslogd that reads a Unix socket and ships by a configuration; gives the socket's path."""
    folder.mkdir()
    entrance = folder / "log"
    configuration = folder / "rsyslog.conf"
    configuration.write_text(
        f'global(workDirectory="{folder}")\n'
        'module(load="imuxsock" sysSock.use="off")\n'
        f'input(type="imuxsock" socket="{entrance}" usePIDFromSystem="off" rateLimit.interval="0" parseTrusted="off")\n'
        f"{shipped}"
    )
    daemon = subprocess.Popen(
        [program, "-n", "-f", str(configuration), "-i", str(folder / "pid")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield entrance
    finally:
        daemon.terminate()
        _, said = daemon.communicate(timeout=PATIENCE_S)
        assert b"error" not in said.lower(), said


def log(entrance: Path, tag: str) -> None:
    """As syslog(3) writes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as writer:
        writer.connect(str(entrance))
        for line in LINES:
            writer.send(f"<14>May  1 00:00:00 {tag}: {line}".encode())


def shipped(name: str, address: Address, **changes: str) -> str:
    """A configuration of the documentation, sent to ``address``."""
    text = (SHIPPERS / name).read_text()
    port = "6514" if address.transport == "tls" else "5514"
    for old, new in {
        'target="tocsin"': f'target="{address.host}"',
        f'port="{port}"': f'port="{address.port}"',
        **changes,
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


async def test_rsyslog_ships_over_tcp(rsyslogd: str, take: Take, tmp_path: Path) -> None:
    async with take() as taking:
        with running_rsyslogd(rsyslogd, tmp_path / "rsyslog", shipped("rsyslog.conf", taking.at["tcp"])) as entrance:
            await until(entrance.exists, "rsyslogd is there", PATIENCE_S)
            await beside(log, entrance, "blocks[7]")
            await taking.until_lines(len(LINES), "blocks")
        assert await session_events(taking.replica, "blocks", "blk_2") == 10
        dropped = [name for name in await taking.replica.metrics() if name.startswith("tocsin_intake_dropped_total")]
        assert dropped == []


async def test_rsyslog_ships_over_tls(rsyslogd: str, take: Take, tmp_path: Path, certificates: Certificates) -> None:
    async with take("tls://127.0.0.1:0?source=blocks", syslog_cert=certificates.service) as taking:
        configuration = shipped(
            "rsyslog-tls.conf",
            taking.at["tls"],
            **{"/etc/tocsin/authority.pem": str(certificates.authority)},
        )
        with running_rsyslogd(rsyslogd, tmp_path / "rsyslog", configuration) as entrance:
            await until(entrance.exists, "rsyslogd is there", PATIENCE_S)
            await beside(log, entrance, "any")
            await taking.until_lines(len(LINES), "blocks")
        assert await taking.count("tocsin_intake_messages_total", listener="tls") == len(LINES)


@pytest.mark.slow
async def test_rsyslog_sends_again_what_it_could_not_send(rsyslogd: str, take: Take, tmp_path: Path) -> None:
    async with take(""):
        # Its sources are there before rsyslogd can send.
        pass
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = Address("tcp", "127.0.0.1", probe.getsockname()[1])
    # It waits 30 s before it tries again, unless told otherwise.
    often = {'action.resumeRetryCount="-1"': 'action.resumeRetryCount="-1" action.resumeInterval="1"'}
    with running_rsyslogd(rsyslogd, tmp_path / "rsyslog", shipped("rsyslog.conf", address, **often)) as entrance:
        await until(entrance.exists, "rsyslogd is there", PATIENCE_S)
        await beside(log, entrance, "blocks[7]")
        async with take(str(address)) as taking:

            async def there() -> bool:
                return await taking.count("tocsin_lines_total", source="blocks") >= len(LINES)

            # One more where rsyslogd sends its first message twice, as 8.2302 does after it could not connect.
            await until(there, "all lines came", PATIENCE_S)
            assert await session_events(taking.replica, "blocks", "blk_2") == 10
