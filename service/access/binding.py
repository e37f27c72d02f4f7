"""Where the service listens, and whether that is open to others than this machine.

Owns what is refused: beyond loopback nobody comes in without an API key, unless somebody says that they may.
"""

import ipaddress
from functools import lru_cache

from models.errors import ConfigError
from service.settings import Settings

OPEN_WARNING = (
    "TOCSIN_AUTH=off and listening on %s: whoever reaches this address reads all logs, silences incidents and "
    "activates versions; keep it behind something that asks who they are"
)


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def asks_for_keys(settings: Settings) -> bool:
    """Whether API keys are asked for even where there are none yet."""
    return settings.auth == "on" or (settings.auth == "auto" and not is_loopback(settings.host))


def refusal(settings: Settings, config: str | None = None) -> ConfigError:
    """What to do where keys are asked for and there are none. ``config``: the file that settings came from."""
    command = "tocsin keys create ops --scope ingest,read,feedback,admin"
    if config is not None:
        command += f" --config {config}"
    why = "TOCSIN_AUTH=on" if settings.auth == "on" else f"{settings.host} is reached from other machines"
    return ConfigError(
        f"{why} and there is no API key, so nobody could come in; make one with the same settings and start again: "
        f"`{command}`; or listen on 127.0.0.1; or set TOCSIN_AUTH=off where something in front asks who they are"
    )


@lru_cache(maxsize=256)
def is_own_host(named: str, hosts: str) -> bool:
    """Whether a request may name this host (header ``Host``) where no key is asked for.

    A page of evil.example can have its own name lead to 127.0.0.1 (DNS rebinding) and is then, to the browser, a page
    of this service. So names in public DNS are refused unless ``hosts`` (by commas, ``*``: any) has them; addresses,
    localhost and names without a dot cannot be had by others.
    """
    name = named.rpartition(":")[0] if named.rpartition(":")[2].isdigit() and not named.endswith("]") else named
    name = name.strip("[]").rstrip(".").lower()
    known = [one.strip().lower() for one in hosts.split(",")]
    if "*" in known or name in known or "." not in name or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
