"""Secrets come from the environment or from files, reach worker processes, and are in no error, log or answer."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from models.errors import ConfigError, TocsinError
from service.cli.remote import RemoteError, call
from service.listen.kafka import topics
from service.replay.client import ReplayError, ServiceClient
from service.secrets import reads_as, without_secret
from service.settings import Settings, load_settings
from tests.service.pipeline.test_redaction import KEY, bundle, lines
from tests.service.serving import PATIENCE_S, Child, stored

SECRET = "S3CRET"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TOCSIN_")]:
        monkeypatch.delenv(name)


def test_a_file_may_hold_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "url").write_text("redis://:S3CRET@redis.example:6379/0\n")
    (tmp_path / "key").write_text("a key of these tests\n")
    (tmp_path / "settings.yaml").write_text("redis_url: redis://elsewhere:6379/0\n")
    monkeypatch.setenv("TOCSIN_REDIS_URL_FILE", str(tmp_path / "url"))
    monkeypatch.setenv("TOCSIN_REDACTION_KEY_FILE", str(tmp_path / "key"))
    settings = load_settings(tmp_path / "settings.yaml")
    assert settings.redis_url == "redis://:S3CRET@redis.example:6379/0"
    assert settings.redaction == b"a key of these tests"
    assert SECRET not in repr(settings)
    assert "a key of" not in repr(settings)
    assert load_from(settings, monkeypatch) == settings


def load_from(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """As a worker process reads them."""
    for name in ("TOCSIN_REDIS_URL_FILE", "TOCSIN_REDACTION_KEY_FILE"):
        monkeypatch.delenv(name)
    for name, value in settings.environment.items():
        monkeypatch.setenv(name, value)
    return load_settings()


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff", b"x" * 70_000])
def test_a_file_that_holds_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "url").write_bytes(content)
    monkeypatch.setenv("TOCSIN_REDIS_URL_FILE", str(tmp_path / "url"))
    with pytest.raises(ConfigError, match="TOCSIN_REDIS_URL_FILE"):
        load_settings()


def test_two_ways_at_once_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_REDIS_URL", f"redis://:{SECRET}@a")
    monkeypatch.setenv("TOCSIN_REDIS_URL_FILE", str(tmp_path / "url"))
    with pytest.raises(ConfigError, match="both set") as raised:
        load_settings()
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    ["redis://:S3CRET/x@host:6379/0", "redis://:S3CRET#x@host", "S3CRET", "http://:S3CRET@host", "redis://h:S3CRET"],
)
def test_an_address_of_redis_that_does_not_read_is_not_repeated(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_REDIS_URL", url)
    with pytest.raises(ConfigError, match="redis_url") as raised:
        load_settings()
    assert SECRET not in str(raised.value)
    assert SECRET not in str(raised.value.__cause__)


def test_yaml_that_does_not_read_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("redis_url: 'redis://:S3CRET@host\nport: [\n")
    with pytest.raises(ConfigError, match="is no YAML") as raised:
        load_settings(path)
    assert SECRET not in str(raised.value)


def test_a_password_of_kafka_is_refused_where_it_would_be_shown() -> None:
    with pytest.raises(ConfigError, match="TOCSIN_KAFKA_CONFIG") as raised:
        topics(f"kafka://user:{SECRET}@one:9092/logs")
    assert SECRET not in str(raised.value)


async def test_commands_do_not_repeat_the_password_of_a_service() -> None:
    told: list[TocsinError] = []
    for address in (f"ftp://user:{SECRET}@host", f"http://user:{SECRET}@127.0.0.1:1"):
        with pytest.raises(RemoteError) as raised:
            call(address, "GET", "/models")
        told.append(raised.value)
    with pytest.raises(ReplayError) as refused:
        ServiceClient(f"ftp://user:{SECRET}@host", "run")
    for error in (*told, refused.value):
        assert SECRET not in str(error)
        assert "host" in str(error) or "127.0.0.1:1" in str(error)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("rediss://user:p%40ss@host:1/0?ssl_ca_certs=x", "rediss://host:1"),
        ("redis://host/0?password=S3CRET", "redis://host"),
        ("http://[::1]:80@S3CRET:x", "..."),
        ("redis+cluster://:S3CRET@a:1,b:2", "redis+cluster://a:1,b:2"),
        ("redis://:12/S3CRET@host", "..."),
        ("S3CRET@", "..."),
    ],
)
def test_what_is_shown_of_an_address(address: str, shown: str) -> None:
    assert without_secret(address) == shown


def test_addresses_that_read() -> None:
    assert reads_as("unix:///run/redis.sock", ("unix",))
    assert reads_as("redis+cluster://user:word@a:1,b:2", ("redis+cluster",))
    assert not reads_as("redis://h:99999999", ("redis",))


async def test_secrets_reach_worker_processes_and_nothing_says_them(
    redis_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").write_text(KEY)
    bundles = stored(tmp_path / "bundles", bundle("quiet", True))
    child = Child(redis_url, bundles, redaction_key_file=tmp_path / "key", workers=2)
    try:
        async with httpx.AsyncClient(timeout=PATIENCE_S) as http:
            await child.ready(http)
            answer = await http.post(f"{child.url}/ingest", json={"source": "quiet", "lines": lines(1)})
            assert answer.status_code == 200, answer.text
            told = [
                answer.text,
                (await http.get(f"{child.url}/readyz")).text,
                (await http.get(f"{child.url}/metrics")).text,
            ]
        child.terminate()
        await child.ended()
    finally:
        child.kill()
    for text in (*told, *capfd.readouterr()):
        assert KEY not in text


def test_help_shows_no_value_of_the_environment() -> None:
    environment = {**os.environ, "TOCSIN_REDIS_URL": f"redis://:{SECRET}@host", "TOCSIN_REDACTION_KEY": SECRET * 4}
    for command in ("serve", "learner"):
        done = subprocess.run(
            [sys.executable, "-m", "service", command, "--help"], capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
        assert SECRET not in done.stdout + done.stderr
