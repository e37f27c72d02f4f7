"""Test support: API keys as their owners have them."""

from typing import Any

from redis.asyncio import Redis

from service.access import secret
from service.state import apikeys
from service.state.apikeys import SCOPES, ApiKey
from tests.service.serving import Replica


async def made(redis: Redis, name: str, *scopes: Any, **how: Any) -> str:
    """A new key in Redis, as it is written; with every scope but ``proxy`` where none is given."""
    key_id, hidden = secret.new_id(), secret.new_secret()
    wanted = scopes or tuple(scope for scope in SCOPES if scope != "proxy")
    assert await apikeys.add(redis, ApiKey(key_id, name, secret.digest(hidden), wanted, **how))
    return secret.written(key_id, hidden)


def bearer(key: str) -> dict[str, str]:
    """Headers that bring a key."""
    return {"Authorization": f"Bearer {key}"}


async def known(replica: Replica, key: str) -> dict[str, str]:
    """Headers of a key, once the replica knows it."""
    await replica.core.gate.ring.read()
    return bearer(key)


async def refused(replica: Replica, reason: str) -> float:
    name = f'tocsin_refused_total{{reason="{reason}"}}'
    return (await replica.metrics()).get(name, 0.0)
