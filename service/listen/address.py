"""Where to take syslog: ``udp://``, ``tcp://`` and ``tls://HOST:PORT`` as settings name them, and what holds for all.

Owns how an address reads and how its socket is bound. Does not know what comes in there.
"""

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from models.errors import ConfigError
from models.source.regex import shown
from service.settings import Settings

TRANSPORTS = ("udp", "tcp", "tls")
RECEIVE_BYTES = 4 * 2**20
"""Asked of the kernel for datagrams: what comes while a batch is taken apart waits there."""
BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Address:
    """One address; ``source``, where it is named, is that of every message."""

    transport: str
    host: str
    port: int
    source: str | None = None

    def __str__(self) -> str:
        return f"{self.transport}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def bound(self, *, shared: bool) -> socket.socket:
        """A socket there, with other processes where ``shared``. Raises ConfigError where it cannot be had."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            if self.transport != "udp":
                return socket.create_server((self.host, self.port), family=family, backlog=BACKLOG, reuse_port=shared)
            taken = socket.socket(family, socket.SOCK_DGRAM)
            try:
                if shared:
                    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
                taken.bind((self.host, self.port))
            except BaseException:
                taken.close()
                raise
            return taken
        except OSError as error:
            raise ConfigError(
                f"cannot take syslog on {self} ({error.strerror or error}); name another address in TOCSIN_SYSLOG"
            ) from error


def addresses(text: str | None) -> list[Address]:
    """Addresses separated by commas. Raises ConfigError."""
    return [_address(part.strip()) for part in (text or "").split(",") if part.strip()]


def tls_context(certificate: Path | None, key: Path | None, clients: Path | None) -> ssl.SSLContext:
    """TLS as a server; ``clients`` holds the authorities that senders' certificates must be of. Raises ConfigError."""
    if certificate is None:
        raise ConfigError("syslog over tls:// needs a certificate: set TOCSIN_SYSLOG_CERT (and TOCSIN_SYSLOG_KEY)")
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=clients)
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"cannot read the certificate, its key or the authorities for syslog over TLS ({error}): see "
            "TOCSIN_SYSLOG_CERT, TOCSIN_SYSLOG_KEY, TOCSIN_SYSLOG_CLIENTS"
        ) from error
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def check(settings: Settings) -> None:
    """Whether all addresses can be had now, as ``serve`` asks before it starts anything. Raises ConfigError."""
    for address in addresses(settings.syslog):
        if address.transport == "tls":
            tls_context(settings.syslog_cert, settings.syslog_key, settings.syslog_clients)
        address.bound(shared=settings.workers > 1).close()


def _address(text: str) -> Address:
    example = "udp://0.0.0.0:514, tcp://0.0.0.0:514?source=NAME or tls://0.0.0.0:6514"
    try:
        parts = urlsplit(text)
        query = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{shown(text)} is no address for syslog ({error}); give one as in {example}") from None
    extra = parts.path not in ("", "/") or parts.fragment or parts.username is not None or set(query) - {"source"}
    if parts.scheme not in TRANSPORTS or not parts.hostname or port is None or extra:
        raise ConfigError(f"{shown(text)} is no address for syslog; give one as in {example}")
    return Address(parts.scheme, parts.hostname, port, query.get("source", [None])[-1] or None)
