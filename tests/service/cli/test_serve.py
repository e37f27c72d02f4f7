"""``tocsin serve``: what it refuses to begin with, and what it says."""

import asyncio
import socket
from pathlib import Path

import pytest
from redis.asyncio import Redis

from models.errors import ConfigError
from service.cli.serve import check_access, check_tls, listen
from service.settings import Settings
from tests.service.access.making import made
from tests.service.serving import Child


def test_port_in_use_is_told_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"cannot listen on 127.0.0.1:{port} .*--port"):
            listen("127.0.0.1", port)


async def test_port_in_use_is_told_before_there_are_workers(
    redis_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        child = Child(redis_url, tmp_path / "bundles", workers=2, port=port)
        try:
            assert await child.ended() == 1
        finally:
            child.kill()
    assert f"cannot listen on 127.0.0.1:{port}" in capfd.readouterr().err


def test_free_port_is_bound() -> None:
    with listen("127.0.0.1", 0) as listener:
        assert listener.getsockname()[1] > 0


async def test_beyond_loopback_serving_without_a_key_is_refused_with_the_command(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    beyond = Settings(host="0.0.0.0")
    with pytest.raises(ConfigError, match=r"`tocsin keys create ops --scope .* --config x\.yaml`"):
        await asyncio.to_thread(check_access, beyond, redis_url, Path("x.yaml"))
    with pytest.raises(ConfigError, match="TOCSIN_AUTH=on"):
        await asyncio.to_thread(check_access, Settings(auth="on"), redis_url)
    await asyncio.to_thread(check_access, Settings(), redis_url)
    await made(redis, "ops")
    await asyncio.to_thread(check_access, beyond, redis_url)


def test_whoever_turns_keys_off_beyond_loopback_is_warned(caplog: pytest.LogCaptureFixture) -> None:
    check_access(Settings(host="0.0.0.0", auth="off"), "redis://127.0.0.1:1")
    assert "whoever reaches this address" in caplog.text


def test_where_redis_is_away_serving_begins_and_lets_nobody_in(caplog: pytest.LogCaptureFixture) -> None:
    check_access(Settings(host="0.0.0.0"), "redis://127.0.0.1:1")
    assert "nobody comes in without one" in caplog.text


def test_certificates_that_cannot_be_used_are_told_before_serving(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="need TOCSIN_TLS_CERT"):
        check_tls(Settings(tls_key=tmp_path / "key.pem"))
    with pytest.raises(ConfigError, match="TOCSIN_TLS_CERT cannot be used"):
        check_tls(Settings(tls_cert=tmp_path / "none.pem"))
