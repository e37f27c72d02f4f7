"""``tocsin serve``: what it says where the address cannot be had."""

import socket

import pytest

from models.errors import ConfigError
from service.cli.serve import listen


def test_port_in_use_is_told_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"cannot listen on 127.0.0.1:{port} .*--port"):
            listen("127.0.0.1", port)


def test_free_port_is_bound() -> None:
    with listen("127.0.0.1", 0) as listener:
        assert listener.getsockname()[1] > 0
