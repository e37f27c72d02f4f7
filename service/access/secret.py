"""The secret of an API key: how it is made, how it is written, and how it is told from another.

``tcs_ID_SECRET``: the id names the key, the secret is 256 random bits. It is kept as its SHA-256: nobody can try out
2^256 values, so a slow hash (as for passwords that people think up) would cost every request milliseconds and buy
nothing. Does not know where keys are kept.
"""

import hashlib
import hmac
import re
import secrets

PREFIX = "tcs_"
SECRET_BYTES = 32
ID_BYTES = 6
_WRITTEN = re.compile(r"tcs_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NOTHING = "0" * 64


def new_id() -> str:
    """An id for a key; no secret."""
    return secrets.token_hex(ID_BYTES)


def new_secret() -> str:
    """A secret: 43 letters of URL-safe base64."""
    return secrets.token_urlsafe(SECRET_BYTES)


def written(key_id: str, secret: str) -> str:
    """A key as its owner gets it."""
    return f"{PREFIX}{key_id}_{secret}"


def parts(text: str) -> tuple[str, str] | None:
    """Id and secret of a written key; None for anything else."""
    found = _WRITTEN.fullmatch(text)
    return None if found is None else (found[1], found[2])


def digest(secret: str) -> str:
    """What is kept of a secret, hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_secret_of(secret: str, kept: str | None) -> bool:
    """Whether a secret has the digest ``kept`` (None: no such key), in a time that tells nothing of it."""
    same = hmac.compare_digest(digest(secret), kept or _NOTHING)
    return same and kept is not None
