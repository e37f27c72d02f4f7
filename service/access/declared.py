"""API keys that a file declares, for whoever deploys from files: digests of secrets, so that the file is none.

Owns the file's shape. Does not know what keys may.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import ConfigError
from service.state.apikeys import ApiKey, KeyScope

KEY_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.@+-]{0,63}$"
SOURCE_PATTERN = r"^[A-Za-z0-9_.*?-]{1,64}$"
TAKEN = ("anonymous", "tocsin")
"""Authors that are nobody."""

Name = Annotated[str, Field(pattern=KEY_NAME)]
SourcePattern = Annotated[str, Field(pattern=SOURCE_PATTERN)]


class Declared(BaseModel):
    """One key. ``expires`` is UTC where it names no zone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: Annotated[list[KeyScope], Field(min_length=1)]
    sources: list[SourcePattern] = []
    expires: datetime | None = None
    rate: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None

    def key(self) -> ApiKey:
        """As the service takes it."""
        expires = self.expires
        if expires is not None and expires.tzinfo is None:
            expires = expires.replace(tzinfo=UTC)
        return ApiKey(
            self.id, self.name, self.sha256, tuple(self.scopes), tuple(self.sources),
            expires=None if expires is None else expires.timestamp(), rate=self.rate,
        )  # fmt: skip


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: list[Declared]


def load(path: Path | None) -> list[ApiKey]:
    """Keys of a file; none where there is no file. Raises ConfigError."""
    if path is None:
        return []
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
        found = [entry.key() for entry in _File.model_validate(loaded).keys]
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read API keys from {path}: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(
            f"{path}: {wrong}; `tocsin keys create NAME --scope ... --declare` prints an entry"
        ) from error
    for what in ("id", "name"):
        seen = [getattr(key, what) for key in found]
        twice = sorted({one for one in seen if seen.count(one) > 1})
        if twice:
            raise ConfigError(f"{path}: two keys have the {what} {twice[0]!r}")
    for key in found:
        check_name(key.name)
    return found


def check_name(name: str) -> None:
    """Raises ConfigError for a name that would be somebody else's."""
    if name.lower() in TAKEN:
        raise ConfigError(f"{name!r} is what nobody is called; choose another name for the key")


def entry(key: ApiKey) -> dict[str, Any]:
    """A key as the file has it."""
    told: dict[str, Any] = {"name": key.name, "id": key.id, "sha256": key.digest, "scopes": list(key.scopes)}
    if key.sources:
        told["sources"] = list(key.sources)
    if key.expires is not None:
        told["expires"] = datetime.fromtimestamp(key.expires, UTC).isoformat(timespec="seconds")
    if key.rate is not None:
        told["rate"] = key.rate
    return told
