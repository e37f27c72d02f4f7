"""``tocsin serve``: the service, with its private Redis where none is named."""

import asyncio
import logging
import os
import signal
import socket
import ssl
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import uvicorn

from models.errors import ConfigError, StateError
from service import logs
from service.access import declared
from service.access.binding import OPEN_WARNING, asks_for_keys, is_loopback, refusal
from service.api.app import create_app
from service.api.connection import BoundedConnection
from service.cli.interpreter import settle
from service.core import Core
from service.exposition import shared
from service.intake.routing import Routing
from service.listen.listeners import check
from service.notify.config import NotifyConfig
from service.settings import SECRETS, Settings, load_settings
from service.state import apikeys, connection
from service.state.apikeys import ApiKey
from service.state.embedded import EmbeddedRedis

KEEP_ALIVE_S = 30
"""Shippers send now and then; beyond that an idle connection is closed."""

log = logging.getLogger("tocsin")


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on [default: 8000]")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes that share the port [default: 1]")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings; the environment wins over it")] = None,
) -> None:
    """Start the service. SIGTERM or Ctrl-C answers what was accepted and stops."""
    settings = load_settings(config, host=host, port=port, workers=workers)
    # Here, or every worker would end by them, and be started again.
    Routing.load(settings.intake_rules)
    NotifyConfig.load(settings.notify)
    check(settings)
    check_tls(settings)
    declared.load(settings.api_keys_file)
    logs.begin()
    # uvicorn stops gracefully on SIGTERM and then raises it again; the private Redis is to be stopped after that.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ExitStack() as stack:
        fsync: Literal["always", "everysec"] = "everysec" if settings.appendfsync == "auto" else settings.appendfsync
        own = EmbeddedRedis(settings.data_dir, appendfsync=fsync)
        url = settings.redis_url or stack.enter_context(own).url
        check_access(settings, url, config)
        if settings.workers == 1:
            run(settings, url)
            return
        # Worker processes read their settings from the environment, as they begin with nothing else.
        os.environ |= {**settings.environment, "TOCSIN_REDIS_URL": url}
        for name in SECRETS:
            os.environ.pop(f"TOCSIN_{name.upper()}_FILE", None)
        stack.enter_context(shared())
        listen(settings.host, settings.port).close()  # uvicorn, which binds it below, ends without saying what to do
        uvicorn.run(
            "service.cli.serve:worker_app",
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            **uvicorn_options(settings)
            | {"loop": "service.cli.share:SharingLoop", "http": "service.cli.share:CountedConnection"},
        )


def run(settings: Settings, redis_url: str) -> None:
    """Serve in this process until told to stop."""
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(Core(settings, redis_url), settle),
            host=settings.host,
            port=settings.port,
            timeout_graceful_shutdown=int(settings.drain_s) + 1,
            **uvicorn_options(settings),
        )
    )
    with listen(settings.host, settings.port) as listener:
        log.info("listening on %s://%s:%d", "https" if settings.tls_cert else "http", *listener.getsockname()[:2])
        server.run(sockets=[listener])


def check_access(settings: Settings, redis_url: str, config: Path | None = None) -> None:
    """Raises ConfigError where API keys are asked for and there is none, so that nobody could come in."""
    if settings.auth == "off":
        if not is_loopback(settings.host):
            log.warning(OPEN_WARNING, settings.host)
        return
    if not asks_for_keys(settings) or settings.oidc_issuer or declared.load(settings.api_keys_file):
        return
    try:
        found = asyncio.run(_keys(redis_url))
    except StateError as error:
        log.warning("%s; whether there are API keys is not known yet, and nobody comes in without one", error)
        return
    if not found:
        raise refusal(settings, None if config is None else str(config))


async def _keys(redis_url: str) -> list[ApiKey]:
    redis = await connection.connect(redis_url, attempts=1)
    try:
        return await apikeys.read(redis)
    finally:
        await redis.aclose()


def check_tls(settings: Settings) -> None:
    """Raises ConfigError for certificates that cannot be used."""
    if settings.tls_cert is None:
        if settings.tls_key is not None or settings.tls_client_ca is not None:
            raise ConfigError("TOCSIN_TLS_KEY and TOCSIN_TLS_CLIENT_CA need TOCSIN_TLS_CERT")
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    what = "TOCSIN_TLS_CERT"
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
        if settings.tls_client_ca is not None:
            what = "TOCSIN_TLS_CLIENT_CA"
            context.load_verify_locations(settings.tls_client_ca)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"{what} cannot be used: {error}") from error


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    """What uvicorn is told in either way of starting it."""
    how: dict[str, Any] = {
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "http": BoundedConnection,
        "ws": "none",
        "limit_concurrency": settings.connections,
        "timeout_keep_alive": KEEP_ALIVE_S,
    }
    if settings.tls_cert is not None:
        how |= {"ssl_certfile": str(settings.tls_cert), "ssl_keyfile": settings.tls_key and str(settings.tls_key)}
    if settings.tls_client_ca is not None:
        how |= {"ssl_ca_certs": str(settings.tls_client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return how


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises ConfigError where the address cannot be had."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{port} ({error.strerror}); choose another with --port") from error


def worker_app() -> object:
    """The application of one worker process, from the environment that ``serve`` prepared."""
    logs.begin(logging.WARNING)
    settings = load_settings()
    assert settings.redis_url is not None
    return create_app(Core(settings, settings.redis_url), settle)
