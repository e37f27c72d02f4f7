"""Which addresses are this machine's alone, and which names a request may give it."""

import pytest

from service.access.binding import asks_for_keys, is_loopback, is_own_host, refusal
from service.settings import Settings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_loopback_is_open_until_there_is_a_key(host: str) -> None:
    assert is_loopback(host)
    assert not asks_for_keys(Settings(host=host))
    assert asks_for_keys(Settings(host=host, auth="on"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "", "tocsin.example", "localhost.example"])
def test_everywhere_else_asks_for_keys_unless_told_not_to(host: str) -> None:
    assert not is_loopback(host)
    assert asks_for_keys(Settings(host=host))
    assert not asks_for_keys(Settings(host=host, auth="off"))


def test_the_refusal_says_the_whole_command() -> None:
    assert "`tocsin keys create ops --scope ingest,read,feedback,admin`" in str(refusal(Settings(host="0.0.0.0")))
    assert "admin --config a.yaml`" in str(refusal(Settings(host="0.0.0.0"), "a.yaml"))


@pytest.mark.parametrize(
    ("named", "own"),
    [
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("[::1]", True),
        ("10.0.0.7", True),
        ("localhost:8000", True),
        ("Tocsin.localhost", True),
        ("service:8000", True),
        ("", True),
        ("evil.example", False),
        ("evil.example:8000", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example.", False),
        ("logs.example", False),
    ],
)
def test_names_that_others_can_have_are_not_ours(named: str, own: bool) -> None:
    assert is_own_host(named, "") == own
    assert is_own_host(named, "*")
    assert is_own_host("logs.example:443", "tocsin.example, Logs.example")
