"""``tocsin serve``: the service, with its private Redis where none is named."""

import gc
import logging
import os
import signal
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from models.errors import ConfigError
from service.api.app import create_app
from service.core import Core
from service.exposition import shared
from service.intake.routing import Routing
from service.listen.listeners import check
from service.notify.config import NotifyConfig
from service.settings import Settings, load_settings
from service.state.embedded import EmbeddedRedis


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
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    # uvicorn stops gracefully on SIGTERM and then raises it again; the private Redis is to be stopped after that.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ExitStack() as stack:
        url = settings.redis_url or stack.enter_context(EmbeddedRedis(settings.data_dir)).url
        if settings.workers == 1:
            run(settings, url)
            return
        # Worker processes read their settings from the environment, as they begin with nothing else.
        for name, value in settings.model_dump(mode="json", exclude_none=True).items():
            os.environ[f"TOCSIN_{name.upper()}"] = str(value)
        os.environ["TOCSIN_REDIS_URL"] = url
        stack.enter_context(shared())
        uvicorn.run(
            "service.cli.serve:worker_app",
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            log_level="warning",
            access_log=False,
        )


def run(settings: Settings, redis_url: str) -> None:
    """Serve in this process until told to stop."""
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(Core(settings, redis_url)),
            host=settings.host,
            port=settings.port,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=int(settings.drain_s) + 1,
        )
    )
    _collect_seldom()
    with listen(settings.host, settings.port) as listener:
        logging.getLogger("tocsin").info("listening on http://%s:%d", *listener.getsockname()[:2])
        server.run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises ConfigError where the address cannot be had."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{port} ({error.strerror}); choose another with --port") from error


def worker_app() -> object:
    """The application of one worker process, from the environment that ``serve`` prepared."""
    settings = load_settings()
    assert settings.redis_url is not None
    _collect_seldom()
    return create_app(Core(settings, settings.redis_url))


def _collect_seldom() -> None:
    """Each verdict is a dict and a list, none in a cycle: by default the collector would run at every 700th, which took
    nearly a fifth of the service's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
