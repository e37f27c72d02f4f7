"""What a key is made of, and that only the one secret opens it."""

from hypothesis import given
from hypothesis import strategies as st

from service.access import secret


def test_a_new_key_reads_back_and_keeps_its_secret_to_itself() -> None:
    key_id, hidden = secret.new_id(), secret.new_secret()
    assert secret.parts(secret.written(key_id, hidden)) == (key_id, hidden)
    assert hidden not in secret.digest(hidden)
    assert len({secret.new_secret() for _ in range(100)}) == 100
    assert len(hidden) * 6 >= 256


def test_only_the_secret_itself_is_the_secret_of_its_digest() -> None:
    hidden = secret.new_secret()
    assert secret.is_secret_of(hidden, secret.digest(hidden))
    assert not secret.is_secret_of(secret.new_secret(), secret.digest(hidden))
    assert not secret.is_secret_of(hidden, None)
    assert not secret.is_secret_of("", "0" * 64)


@given(st.text())
def test_any_text_is_a_key_or_none(text: str) -> None:
    assert secret.parts(text) is None
    assert secret.parts(f"tcs_{text}") is None
