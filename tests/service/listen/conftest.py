"""A service without models that takes syslog on free ports, and certificates for TLS."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from redis.asyncio import Redis

from service.listen.address import Address
from tests.service.listening import learning
from tests.service.serving import Replica, until

PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Taking:
    """A service that takes syslog; ``at`` has the address of each transport."""

    replica: Replica
    at: dict[str, Address]

    async def count(self, metric: str, **labels: str) -> float:
        """A sample of the exposition; 0 where there is none yet."""
        named = ",".join(f'{name}="{value}"' for name, value in labels.items())
        return (await self.replica.metrics()).get(f"{metric}{{{named}}}" if named else metric, 0.0)

    async def until_count(self, number: float, metric: str, **labels: str) -> None:
        """Wait until a metric has come to ``number``."""

        async def reached() -> bool:
            return await self.count(metric, **labels) == number

        await until(reached, f"{metric} {labels} is {number}", PATIENCE_S)

    async def until_lines(self, number: float, source: str = "app") -> None:
        """Wait until a source has got ``number`` lines."""
        await self.until_count(number, "tocsin_lines_total", source=source)

    async def until_dropped(self, number: float, listener: str, reason: str) -> None:
        """Wait until ``number`` messages were dropped."""
        await self.until_count(number, "tocsin_intake_dropped_total", listener=listener, reason=reason)


Take = Callable[..., AbstractAsyncContextManager[Taking]]


@pytest.fixture
async def take(redis: Redis, redis_url: str, tmp_path: Path) -> Take:
    """Starts a service that takes syslog at ``syslog`` (all transports on free ports where it is left out)."""
    await redis.ping()

    @asynccontextmanager
    async def taking(syslog: str = "udp://127.0.0.1:0,tcp://127.0.0.1:0", **settings: Any) -> AsyncIterator[Taking]:
        async with learning(redis_url, tmp_path, syslog=syslog, **settings) as replica:
            yield Taking(replica, {address.transport: address for address in replica.app.state.listeners.syslog.bound})

    return taking


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM: an authority, the service's certificate with its key, a sender's likewise."""

    authority: Path
    service: Path
    sender: Path


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    files = Certificates(folder / "authority.pem", folder / "service.pem", folder / "sender.pem")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(files.authority)
    for path, names in ((files.service, ("127.0.0.1", "tocsin")), (files.sender, ("sender.example",))):
        authority.issue_cert(*names).private_key_and_cert_chain_pem.write_to_path(path)
    return files
