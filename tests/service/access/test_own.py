"""Tocsin's own commands bring a key from where it is safe, and say what is wrong with it without telling it."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner

from models.errors import ConfigError
from service.access import own
from service.cli.app import app
from tests.service.access.making import bearer, made
from tests.service.listening import RAW, listening
from tests.service.serving import running

KEY = "tcs_0123456789ab_" + "x" * 43


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (own.KEY, own.KEY_FILE, own.CA_FILE, own.CERTIFICATE):
        monkeypatch.delenv(name, raising=False)


def test_a_file_goes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert own.headers() == {}
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    monkeypatch.setenv(own.KEY_FILE, str(path))
    assert own.headers() == bearer(KEY)
    monkeypatch.setenv(own.KEY, KEY[:-1] + "y")
    assert own.headers() == bearer(KEY[:-1] + "y")
    assert own.headers(path) == bearer(KEY)


def test_what_is_no_key_is_told_of_but_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    with pytest.raises(ConfigError, match="cannot read an API key"):
        own.headers(path)
    path.write_text("hunter2")
    for given in (lambda: own.headers(path), lambda: (monkeypatch.setenv(own.KEY, "hunter2"), own.headers())[1]):
        with pytest.raises(ConfigError, match="begins with tcs_") as refused:
            given()
        assert "hunter2" not in str(refused.value)


def test_certificates_that_are_none_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert own.tls() is True
    monkeypatch.setenv(own.CA_FILE, str(tmp_path / "none.pem"))
    with pytest.raises(ConfigError, match="TOCSIN_CA_FILE"):
        own.tls()


async def test_replay_tail_and_sources_bring_their_key(
    redis: Redis, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await made(redis, "agent", "ingest", "read", "admin")
    path = tmp_path / "key"
    path.write_text(key)
    log = tmp_path / "app.log"
    log.write_text("one line\nanother line\n")

    async def ran(url: str, *words: str) -> Any:
        return await asyncio.to_thread(CliRunner().invoke, app, [*words, "--url", url])

    replay = ["replay", "--logs", str(log), "--source", "app", "--json"]
    async with running(redis_url, tmp_path / "bundles") as replica, listening(replica) as url:
        assert (await replica.http.put("/sources/app", json=RAW, headers=bearer(key))).status_code == 200
        for words in (replay, ["sources"]):
            assert "answered 401" in str((await ran(url, *words)).exception)
        done = await ran(url, *replay, "--api-key-file", str(path))
        assert done.exit_code == 0, done.output
        monkeypatch.setenv(own.KEY, key)
        assert "app: learning" in (await ran(url, "sources")).output
        # It heeds signals, which a thread may not.
        tail = ["tail", str(log), "--source", "app", "--once", "--state", str(tmp_path / "state.json"), "--url", url]
        child = await asyncio.create_subprocess_exec(sys.executable, "-m", "service", *tail)
        assert await child.wait() == 0
        metrics = (await replica.http.get("/metrics", headers=bearer(key))).text
        assert 'tocsin_lines_total{source="app"} 4.0' in metrics
