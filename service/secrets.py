"""Where secrets come from, and how what may hold one is shown.

Owns files that a setting names instead of its value, and what is left of addresses and of YAML's errors, which quote
the lines around. Does not know which settings are secret.
"""

from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from models.errors import ConfigError

FILE_BYTES = 64 * 1024
"""Of a file that holds a secret: more is a mistake."""


def from_files(names: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Values of the settings of which the environment names a file, as in ``TOCSIN_REDIS_URL_FILE``; by setting.

    Raises ConfigError where the file cannot be read, or the environment has the value as well.
    """
    found: dict[str, str] = {}
    for name in names:
        variable = f"TOCSIN_{name.upper()}"
        path = environment.get(f"{variable}_FILE")
        if not path:
            continue
        if environment.get(variable):
            raise ConfigError(f"{variable} and {variable}_FILE are both set; keep one")
        found[name] = _read(Path(path), f"{variable}_FILE")
    return found


def without_secret(address: str) -> str:
    """An address that names no user and asks for nothing as it is; of another scheme, hosts and ports; ``...`` where
    it cannot be told what is what."""
    if not set("@?") & set(address):
        return address
    try:
        scheme, places = _places(address)
    except ValueError:
        return "..."
    return f"{scheme}://{','.join(places)}" if scheme and all(places) else "..."


def reads_as(address: str, schemes: Container[str]) -> bool:
    """Whether it is an address of one of the schemes, of one host or of several with commas between."""
    try:
        return _places(address)[0] in schemes
    except ValueError:
        return False


def _places(address: str) -> tuple[str, list[str]]:
    """Scheme, and each HOST:PORT. Raises ValueError."""
    parts = urlsplit(address)
    places = parts.netloc.rpartition("@")[2].split(",")
    for place in places:
        split = urlsplit(f"//{place}")
        if place and (not split.hostname or split.port == 0):
            raise ValueError(place)
    return parts.scheme, places


def yaml_problem(error: yaml.YAMLError) -> str:
    """What is wrong with YAML and where, without the lines around."""
    mark = getattr(error, "problem_mark", None)
    where = f" (line {mark.line + 1})" if mark is not None else ""
    return f"{getattr(error, 'problem', None) or 'it cannot be read'}{where}"


def _read(path: Path, variable: str) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(FILE_BYTES + 1)
        text = content.decode().strip()
    except OSError as error:
        raise ConfigError(f"{variable}: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{variable}: {path} is no UTF-8") from None
    if not text or len(content) > FILE_BYTES:
        raise ConfigError(f"{variable}: {path} is empty, or over {FILE_BYTES} bytes")
    return text
