"""All that listens beside HTTP in one process. Owns their order: none before the core, none after it."""

import asyncio

from service.core import Core
from service.intake.routing import Routing
from service.listen import address, kafka
from service.listen.kafka import KafkaConsumer
from service.listen.syslog import SyslogServer
from service.settings import Settings


class Listeners:
    """Syslog and Kafka, where settings name them. Raises ConfigError for wrong settings."""

    def __init__(self, core: Core, routing: Routing) -> None:
        self._drain_s = core.settings.drain_s
        self.syslog = SyslogServer(core, routing)
        self.kafka = KafkaConsumer(core, routing)

    async def start(self) -> None:
        """Take lines from now on. Raises ConfigError where an address cannot be had."""
        await self.syslog.start()
        await self.kafka.start()

    async def stop(self) -> None:
        """Take no more, and hand over what came in, for at most ``drain_s``."""
        await asyncio.gather(self.syslog.stop(self._drain_s), self.kafka.stop(self._drain_s))


def check(settings: Settings) -> None:
    """Whether all can be had, before anything starts. Raises ConfigError."""
    address.check(settings)
    kafka.check(settings)
