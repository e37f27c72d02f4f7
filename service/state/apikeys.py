"""API keys and log-ins to the page, in Redis.

Owns what is stored of a key: never its secret, of which there is a digest only. Does not know who may do what
(``service.access``).
"""

import contextlib
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

import orjson
from redis.asyncio import Redis

from service.state import keys
from service.state.connection import command

KeyScope = Literal["ingest", "read", "feedback", "admin", "proxy"]
"""Send lines; look; answer incidents and mute; sources, versions, notifiers; say by ``X-Tocsin-Author`` who asks."""
SCOPES: tuple[KeyScope, ...] = get_args(KeyScope)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key. ``digest`` is the SHA-256 of its secret, hex; ``sources`` are names or patterns (``*``, ``?``; none:
    every source); ``created`` and ``expires`` wall clock in seconds; ``rate`` lines a second (None: any)."""

    id: str
    name: str
    digest: str
    scopes: tuple[KeyScope, ...]
    sources: tuple[str, ...] = ()
    created: float = 0.0
    expires: float | None = None
    rate: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, line: bytes) -> Self:
        stored = orjson.loads(line)
        return cls(**{**stored, "scopes": tuple(stored["scopes"]), "sources": tuple(stored["sources"])})


async def add(redis: Redis, key: ApiKey) -> bool:
    """Store a key; False where its name is taken."""
    return bool(await command(redis, "HSETNX", keys.API_KEYS, key.name, orjson.dumps(key.to_dict())))


async def read(redis: Redis) -> list[ApiKey]:
    """All keys, by name; what another version wrote and this one cannot read lets nobody in."""
    found = []
    for line in await command(redis, "HVALS", keys.API_KEYS):
        with contextlib.suppress(KeyError, TypeError, ValueError):
            found.append(ApiKey.from_json(line))
    return sorted(found, key=lambda key: key.name)


async def remove(redis: Redis, name: str) -> bool:
    """Forget a key; False where it is unknown."""
    return bool(await command(redis, "HDEL", keys.API_KEYS, name))


async def begin_login(redis: Redis, digest: str, key_id: str) -> None:
    """Note that whoever has the cookie of this digest logged in with a key."""
    await command(redis, "SET", keys.login(digest), key_id, "EX", keys.LOGIN_TTL_S)


async def login(redis: Redis, digest: str) -> str | None:
    """Id of the key that a log-in was made with; None where it is unknown or over."""
    found = await command(redis, "GET", keys.login(digest))
    return None if found is None else found.decode()


async def end_login(redis: Redis, digest: str) -> None:
    """Log out."""
    await command(redis, "DEL", keys.login(digest))
