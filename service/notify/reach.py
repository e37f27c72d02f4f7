"""Which addresses a notifier may reach: whoever writes or answers for its name must not lead it to where secrets lie.

Owns the networks, and the transport that connects to the very address it looked at, so that a name which answers
otherwise the second time (DNS rebinding) changes nothing. Does not know who is told of what.

Link-local addresses are refused always: clouds serve a machine's credentials there, and nobody listens for alerts.
Private ones and this machine are where Alertmanager usually is; ``private`` says whether they are allowed.
"""

import asyncio
import ipaddress
import socket
from dataclasses import dataclass

import httpx

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

NEVER = tuple(
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16",
        "fe80::/10",
        "fd00:ec2::/32",  # credentials: AWS over IPv6
        "fd20:ce::/32",  # Google Cloud over IPv6
        "100.100.100.200/32",  # Alibaba Cloud
        "168.63.129.16/32",  # Azure's host
        "192.0.0.192/32",  # Oracle Cloud
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOW_32 = 2**32 - 1


class OutOfReach(httpx.ConnectError):
    """A host that a notifier must not reach."""


@dataclass(frozen=True, slots=True)
class Reach:
    """``private``: whether addresses that the Internet does not route are allowed, this machine's own among them."""

    private: bool = True

    def allows(self, address: str) -> bool:
        """Whether a numeric address may be reached. Raises ValueError where it is none."""
        found = _plain(ipaddress.ip_address(address.partition("%")[0]))
        if found.is_unspecified or found.is_multicast or any(found in network for network in NEVER):
            return False
        return self.private or found.is_global

    def refusal(self, host: str) -> str | None:
        """Why a host that is a numeric address is out of reach; None where it is in reach, or a name."""
        try:
            allowed = self.allows(host.strip("[]"))
        except ValueError:
            return None
        return None if allowed else _why(self.private)

    async def addresses(self, host: str, port: int) -> list[str]:
        """Numeric addresses of a host, in the order to try. Raises OutOfReach where one of them is not allowed: a name
        that leads to both kinds is a trap."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or "it is no name"
            raise httpx.ConnectError(f"no address of the host: {why}") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not addresses or not all(map(self.allows, addresses)):
            raise OutOfReach(_why(self.private))
        return addresses


class Guarded(httpx.AsyncHTTPTransport):
    """Connects to addresses that ``reach`` looked at, and shows and verifies TLS by the host's name all the same."""

    def __init__(self, reach: Reach) -> None:
        super().__init__()
        self._reach = reach

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send to the first address that takes the connection. Raises OutOfReach, and what httpx raises."""
        url = request.url
        addresses = await self._reach.addresses(url.host, url.port or (443 if url.scheme == "https" else 80))
        request.extensions = {**request.extensions, "sni_hostname": url.host}
        for address in addresses:
            request.url = url.copy_with(host=address)
            try:
                return await super().handle_async_request(request)
            except httpx.ConnectError:
                if address == addresses[-1]:
                    raise
        raise AssertionError("there is an address")


def _plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & _LOW_32)
    return address.ipv4_mapped or address.sixtofour or address


def _why(private: bool) -> str:
    return "the host's address is " + (
        "link-local, where clouds keep credentials" if private else "link-local or private, and private_networks is off"
    )
