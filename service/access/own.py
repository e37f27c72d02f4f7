"""What Tocsin's own commands bring to a service that asks who they are: an API key, and certificates.

Owns where they come from: the environment or files, never the command line, which other users of the machine can read.
"""

import os
import ssl
from pathlib import Path

from models.errors import ConfigError
from service.access.secret import parts

KEY, KEY_FILE, CA_FILE, CERTIFICATE = "TOCSIN_API_KEY", "TOCSIN_API_KEY_FILE", "TOCSIN_CA_FILE", "TOCSIN_CLIENT_CERT"


def headers(key_file: Path | None = None) -> dict[str, str]:
    """Headers with the key of a file, else of the environment; none where there is none. Raises ConfigError."""
    key, where = os.environ.get(KEY, ""), KEY
    named = key_file or (Path(os.environ[KEY_FILE]) if os.environ.get(KEY_FILE) and not key else None)
    if named is not None:
        try:
            key, where = named.read_text(encoding="utf-8"), str(named)
        except (OSError, UnicodeError) as error:
            raise ConfigError(f"cannot read an API key from {named}: {error}") from error
    key = key.strip()
    if not key and named is None:
        return {}
    if parts(key) is None:
        # Not what it says: it may be another secret.
        raise ConfigError(f"{where} holds no API key of Tocsin's, which begins with tcs_")
    return {"Authorization": f"Bearer {key}"}


def tls() -> ssl.SSLContext | bool:
    """How a service's certificate is checked, and the own one that is shown. Raises ConfigError."""
    authorities, own = os.environ.get(CA_FILE), os.environ.get(CERTIFICATE)
    if not authorities and not own:
        return True
    try:
        context = ssl.create_default_context(cafile=authorities or None)
        if own:
            context.load_cert_chain(own)
    except OSError as error:
        raise ConfigError(f"{CA_FILE} or {CERTIFICATE} cannot be used: {error}") from error
    return context
