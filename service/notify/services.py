"""A notice to any of the services that Apprise knows (chat, mail, telephones): https://appriseit.com.

Owns the one thread in which it blocks. Apprise says whether it worked and nothing else, so every failure is worth
another attempt. It limits each of its requests itself (its ``cto`` and ``rto``, four seconds each unless the URL says
otherwise). It looks names up by itself, after they were looked at here; redirects are followed only where the URL says
``redirect=yes``.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from models.errors import ConfigError
from service.incidents.severity import Severity
from service.notify.config import Target
from service.notify.notice import Notice
from service.notify.outcome import SENT, Outcome
from service.notify.reach import OutOfReach

try:
    from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType
except ImportError as error:
    raise ConfigError("notifiers of kind apprise need an extra: pip install 'tocsin[notify]'") from error


TYPES: dict[Severity, NotifyType] = {
    "info": NotifyType.INFO,
    "warning": NotifyType.WARNING,
    "critical": NotifyType.FAILURE,
}


class Services:
    """One Apprise URL. Raises ConfigError where Apprise cannot read it."""

    def __init__(self, target: Target) -> None:
        # At INFO and below it tells of addresses.
        logging.getLogger("apprise").setLevel(logging.CRITICAL)
        self._apprise = Apprise(asset=AppriseAsset(http_redirects=False))
        if not self._apprise.add(target.url):
            raise ConfigError(
                f"notifier {target.name}: Apprise cannot read its url; see https://appriseit.com/services"
            )
        self._hosts = [service.host for service in self._apprise if _has_host(service)]
        self._reach = target.reach
        self._timeout_s = target.timeout_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"tocsin-notify-{target.name}")

    async def send(self, notice: Notice) -> Outcome:
        """Try once. An attempt that takes too long is given up, but goes on in its thread until Apprise ends it."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._look()
                sent = await asyncio.get_running_loop().run_in_executor(self._thread, self._notify, notice)
        except OutOfReach as error:
            return Outcome(False, str(error), refused=True)
        except TimeoutError:
            return Outcome(False, f"no answer within {self._timeout_s:g} s")
        return SENT if sent else Outcome(False, "the service did not take it, as Apprise says")

    async def close(self) -> None:
        """Do not wait for an attempt that hangs."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _look(self) -> None:
        """Raises OutOfReach. A name without an address is Apprise's to fail at: of mail it is a domain."""
        for host in self._hosts:
            try:
                await self._reach.addresses(host, 0)
            except OutOfReach:
                raise
            except httpx.ConnectError:
                pass

    def _notify(self, notice: Notice) -> bool:
        kind = TYPES[notice.severity]
        return bool(
            self._apprise.notify(body=notice.text, title=notice.title, notify_type=kind, body_format=NotifyFormat.TEXT)
        )


def _has_host(service: Any) -> bool:
    """Whether its URL names a host: where others have it stands a token, which no name server may be asked for."""
    return "host" in getattr(service, "template_tokens", {}) and bool(getattr(service, "host", None))
