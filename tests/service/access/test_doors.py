"""When keys are asked for at all, and what is said to strangers."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from redis.asyncio import Redis

from service.access.declared import entry
from service.state import apikeys, keys
from tests.service.access.making import bearer, made, refused
from tests.service.serving import Replica, running, until


async def test_loopback_is_open_until_there_is_a_key_and_stays_closed_then(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    async with running(redis_url, tmp_path / "bundles") as replica:
        assert (await replica.http.get("/sources")).status_code == 200
        key = bearer(await made(redis, "first", "read"))

        async def status(wanted: int, **how: Any) -> bool:
            return (await replica.http.get("/sources", **how)).status_code == wanted

        await until(lambda: status(401), "a key is asked for")
        assert await status(200, headers=key)
        # A Redis that lost everything lets nobody in.
        await redis.delete(keys.API_KEYS)
        await until(lambda: status(401, headers=key), "the key is gone")
        assert await status(401)


@pytest.mark.parametrize(("settings", "status"), [({"auth": "on"}, 401), ({"auth": "off"}, 200)])
async def test_settings_say_whether_keys_are_asked_for(
    redis: Redis, redis_url: str, tmp_path: Path, settings: dict[str, str], status: int
) -> None:
    await made(redis, "some")
    async with running(redis_url, tmp_path / "bundles", **settings) as replica:
        assert (await replica.http.get("/sources")).status_code == status


async def test_beyond_loopback_nobody_comes_in_while_there_is_no_key(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    await redis.ping()
    async with running(redis_url, tmp_path / "bundles", host="0.0.0.0") as replica:
        assert (await replica.http.get("/sources")).status_code == 401
        assert (await replica.http.get("/healthz")).status_code == 200


async def test_a_key_of_a_file_lets_in_and_its_file_holds_no_secret(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    key = await made(redis, "filed", "read")
    (stored_key,) = await apikeys.read(redis)
    await redis.flushall()
    path = tmp_path / "keys.yaml"
    path.write_text(yaml.safe_dump({"keys": [entry(stored_key)]}))
    assert key.rpartition("_")[2] not in path.read_text()
    async with running(redis_url, tmp_path / "bundles", api_keys_file=path) as replica:
        assert (await replica.http.get("/sources")).status_code == 401
        assert (await replica.http.get("/sources", headers=bearer(key))).status_code == 200


async def test_redis_holds_no_secret(redis: Redis, replica: Replica) -> None:
    hidden = replica.http.headers["Authorization"].rpartition("_")[2].encode()
    values = await redis.hvals(keys.API_KEYS)
    assert values
    assert not any(hidden in value for value in values)


async def test_probes_say_nothing_to_strangers_and_metrics_may_be_opened(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    key = bearer(await made(redis, "reader", "read"))
    async with running(redis_url, tmp_path / "bundles", metrics_open=True) as replica:
        assert (await replica.get("/readyz")) == {"ready": True}
        assert "sources" in (await replica.http.get("/readyz", headers=key)).json()
        assert "tocsin_redis_up 1.0" in (await replica.http.get("/metrics")).text


async def test_without_keys_a_name_that_others_can_have_is_refused(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    """DNS rebinding: a page of evil.example whose name leads to 127.0.0.1."""
    await redis.ping()
    async with running(redis_url, tmp_path / "bundles", hosts="logs.example") as replica:

        async def status(host: str) -> int:
            return (await replica.http.get("/incidents", headers={"Host": host})).status_code

        assert [await status(host) for host in ("127.0.0.1:8000", "logs.example", "evil.example:8000")] == [
            200,
            200,
            403,
        ]
        assert await refused(replica, "host") == 1
