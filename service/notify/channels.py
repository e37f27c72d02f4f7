"""Which channel a notifier of the configuration is."""

from collections.abc import Callable

from service.notify.alertmanager import Alertmanager
from service.notify.config import Target
from service.notify.outcome import Channel
from service.notify.webhook import Webhook


def open_channel(target: Target, clock: Callable[[], float]) -> Channel:
    """A channel that has not connected yet. Raises ConfigError where it cannot work."""
    if target.kind == "webhook":
        return Webhook(target, clock)
    if target.kind == "alertmanager":
        return Alertmanager(target, clock)
    # Here, as it is an extra, and slow to import.
    from service.notify.services import Services

    return Services(target)
