"""A notice to any of the services that Apprise knows (chat, mail, telephones): https://appriseit.com.

Owns the one thread in which it blocks. Apprise says whether it worked and nothing else, so every failure is worth
another attempt. It limits each of its requests itself (its ``cto`` and ``rto``, four seconds each unless the URL says
otherwise).
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from models.errors import ConfigError
from service.incidents.severity import Severity
from service.notify.config import Target
from service.notify.notice import Notice
from service.notify.outcome import SENT, Outcome

try:
    from apprise import Apprise, NotifyFormat, NotifyType
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
        self._apprise = Apprise()
        if not self._apprise.add(target.url):
            raise ConfigError(
                f"notifier {target.name}: Apprise cannot read its url; see https://appriseit.com/services"
            )
        self._timeout_s = target.timeout_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"tocsin-notify-{target.name}")

    async def send(self, notice: Notice) -> Outcome:
        """Try once. An attempt that takes too long is given up, but goes on in its thread until Apprise ends it."""
        trying = asyncio.get_running_loop().run_in_executor(self._thread, self._notify, notice)
        try:
            async with asyncio.timeout(self._timeout_s):
                sent = await trying
        except TimeoutError:
            return Outcome(False, f"no answer within {self._timeout_s:g} s")
        return SENT if sent else Outcome(False, "the service did not take it, as Apprise says")

    async def close(self) -> None:
        """Do not wait for an attempt that hangs."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _notify(self, notice: Notice) -> bool:
        kind = TYPES[notice.severity]
        return bool(
            self._apprise.notify(body=notice.text, title=notice.title, notify_type=kind, body_format=NotifyFormat.TEXT)
        )
