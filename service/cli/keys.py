"""``tocsin keys``: API keys, made, listed and revoked in Redis itself; whoever reaches that may do all."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
import yaml
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.errors import ConfigError
from service.access import secret
from service.access.declared import Declared, check_name, entry
from service.cli.show import harmless, print_json
from service.errors import Conflict, NotFound
from service.settings import Settings, load_settings
from service.state import apikeys, connection
from service.state.apikeys import SCOPES, ApiKey
from service.state.embedded import EmbeddedRedis
from service.state.keys import API_KEYS_KEPT

app = typer.Typer(help="API keys: who may come in, and do what.", no_args_is_help=True)

T = TypeVar("T")
DAY_S = 86_400.0

Config = Annotated[Path | None, typer.Option(help="YAML file of settings; the environment wins over it")]
Json = Annotated[bool, typer.Option("--json", help="Print as JSON")]


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Whose it is; what its owner answers is noted under this name")],
    scope: Annotated[
        str,
        typer.Option(help=f"What it may, by commas: {', '.join(SCOPES)} (proxy: say by X-Tocsin-Author who asks)"),
    ],
    source: Annotated[
        list[str] | None, typer.Option(help="A source, or pattern, that it is for; may be repeated [default: all]")
    ] = None,
    expires: Annotated[
        float | None, typer.Option(min=0.01, help="Days after which it is over [default: never]")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Lines a second that it may send, to each worker process")
    ] = None,
    declare: Annotated[
        bool, typer.Option("--declare", help="Print the entry for TOCSIN_API_KEYS_FILE, and keep nothing in Redis")
    ] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Make a key and print it, this once: only a digest is kept. It lets in within two seconds."""
    made, written = _made(name, scope, source or [], expires, rate)
    if not declare:
        _in_redis(load_settings(config), lambda redis: _add(redis, made))
    told: dict[str, Any] = {"key": written, **_told(made)}
    if declare:
        told["entry"] = entry(made)
    if json:
        print_json(told)
        return
    # By itself on standard output, for `KEY=$(tocsin keys create ...)`.
    print(written)
    say = Console(stderr=True)
    if declare:
        say.print(
            Text("add to the keys of TOCSIN_API_KEYS_FILE:\n" + yaml.safe_dump([entry(made)], sort_keys=False)),
            soft_wrap=True,
        )
    say.print(
        Text("it is not shown again; send it as `Authorization: Bearer KEY`, or put it into TOCSIN_API_KEY"),
        soft_wrap=True,
    )


@app.command("list")
def list_keys(config: Config = None, json: Json = False) -> None:
    """List the keys in Redis: what each may, for which sources and until when."""
    found = _in_redis(load_settings(config), apikeys.read)
    if json:
        print_json({"keys": [_told(key) for key in found]})
        return
    if not found:
        Console(stderr=True).print("no keys yet; `tocsin keys create NAME --scope ...` makes one")
        return
    table = Table("name", "id", "scopes", "sources", "expires", "lines/s", box=None, pad_edge=False)
    for key in found:
        told = _told(key)
        cells = (key.name, key.id, ", ".join(key.scopes), ", ".join(key.sources) or "all", told["expires"] or "never")
        table.add_row(*(Text(harmless(cell)) for cell in cells), "" if key.rate is None else f"{key.rate:g}")
    Console().print(table)


@app.command("revoke")
def revoke(name: Annotated[str, typer.Argument(help="Name or id")], config: Config = None, json: Json = False) -> None:
    """Let a key in no more, within three seconds, nor whoever logged in to the page with it."""

    async def remove(redis: Redis) -> ApiKey:
        found = [key for key in await apikeys.read(redis) if name in (key.name, key.id)]
        if not found or not await apikeys.remove(redis, found[0].name):
            raise NotFound(f"no API key {name!r}; `tocsin keys list` lists those in Redis")
        return found[0]

    gone = _in_redis(load_settings(config), remove)
    if json:
        print_json({"revoked": _told(gone)})
    else:
        Console().print(Text(harmless(f"{gone.name} ({gone.id}) lets nobody in any more")))


def _made(name: str, scope: str, sources: list[str], expires: float | None, rate: float | None) -> tuple[ApiKey, str]:
    now = time.time()
    until = None if expires is None else datetime.fromtimestamp(now + expires * DAY_S, UTC)
    key_id, hidden = secret.new_id(), secret.new_secret()
    wanted = list(dict.fromkeys(one.strip() for one in scope.split(",") if one.strip()))
    unknown = [one for one in wanted if one not in SCOPES]
    if unknown or not wanted:
        raise typer.BadParameter(f"scopes are {', '.join(SCOPES)}, by commas", param_hint="--scope")
    try:
        told = Declared.model_validate(
            {"name": name, "id": key_id, "sha256": secret.digest(hidden), "scopes": wanted, "sources": sources,
             "expires": until, "rate": rate}
        )  # fmt: skip
    except ValueError as error:
        raise ConfigError(
            f"{harmless(name)!r} or a source is no name: letters, digits and . _ - are, in a key's also @ and +"
        ) from error
    check_name(name)
    key = told.key()
    made = ApiKey(
        key.id, key.name, key.digest, key.scopes, key.sources, created=now, expires=key.expires, rate=key.rate
    )
    return made, secret.written(key_id, hidden)


async def _add(redis: Redis, key: ApiKey) -> None:
    if len(await apikeys.read(redis)) >= API_KEYS_KEPT:
        raise Conflict(f"there are {API_KEYS_KEPT} keys; revoke some first")
    if not await apikeys.add(redis, key):
        raise Conflict(f"there is a key {key.name!r} already; revoke it first, or choose another name")


def _in_redis(settings: Settings, work: Callable[[Redis], Awaitable[T]]) -> T:
    """Do something with the Redis of these settings: the private one is started where none runs."""

    async def run(url: str) -> T:
        redis = await connection.connect(url)
        try:
            return await work(redis)
        finally:
            await redis.aclose()

    with ExitStack() as stack:
        url = settings.redis_url or stack.enter_context(EmbeddedRedis(settings.data_dir)).url
        return asyncio.run(run(url))


def _told(key: ApiKey) -> dict[str, Any]:
    """A key without anything that is secret."""
    return {
        "name": key.name,
        "id": key.id,
        "scopes": list(key.scopes),
        "sources": list(key.sources),
        "created": _moment(key.created),
        "expires": None if key.expires is None else _moment(key.expires),
        "rate": key.rate,
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
