"""Who is told of incidents: one YAML file, read and checked at start.

Owns the file's shape and where secrets come from: files and the environment, or the URL where nothing else will do.
They are never shown: of an address scheme and host are, as paths and user names of webhooks are secrets too.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import ConfigError
from service.incidents.severity import Severity
from service.notify.reach import Reach
from service.secrets import FILE_BYTES, yaml_problem

NAME = r"^[a-z0-9][a-z0-9_-]{0,31}$"
MOST_NOTIFIERS = 32

Seconds = Annotated[float, Field(gt=0, le=7 * 86_400.0, allow_inf_nan=False)]


class Budget(BaseModel):
    """At most ``notices`` within ``window_s`` seconds, of each source and notifier."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    notices: Annotated[int, Field(ge=1, le=1000)] = 20
    window_s: Annotated[float, Field(ge=1, le=7 * 86_400.0, allow_inf_nan=False)] = 300.0


class _Entry(BaseModel):
    """What every kind has. Exactly one of ``url``, ``url_file`` and ``url_env`` says where."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Annotated[str, Field(pattern=NAME)]
    url: str | None = None
    url_file: Path | None = None
    url_env: str | None = None
    sources: Annotated[list[str], Field(min_length=1)] = ["*"]
    min_severity: Severity = "info"
    budget: Budget | None = None
    timeout_s: Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)] = 10.0
    retry_s: Annotated[float, Field(gt=0, le=300, allow_inf_nan=False)] = 1.0
    give_up_s: Seconds = 3600.0


class _Token(_Entry):
    """What speaks HTTP: a bearer token where the peer wants one."""

    token_file: Path | None = None
    token_env: str | None = None


class _Alertmanager(_Token):
    kind: Literal["alertmanager"]
    lasts_s: Seconds = 3600.0


class _Webhook(_Token):
    kind: Literal["webhook"]
    secret_file: Path | None = None
    secret_env: str | None = None


class _Apprise(_Entry):
    kind: Literal["apprise"]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    public_url: str | None = None
    private_networks: bool = True
    budget: Budget = Budget()
    notifiers: Annotated[
        list[Annotated[_Alertmanager | _Webhook | _Apprise, Field(discriminator="kind")]],
        Field(min_length=1, max_length=MOST_NOTIFIERS),
    ]


@dataclass(frozen=True, slots=True)
class Target:
    """One notifier, with its secrets. Times in seconds: ``timeout_s`` for one attempt, ``retry_s`` before the second
    (each pause is twice the one before), ``give_up_s`` from the first to the last, ``lasts_s`` until an alert of
    Alertmanager ends by itself."""

    name: str
    kind: Literal["alertmanager", "webhook", "apprise"]
    url: str = field(repr=False)
    sources: tuple[str, ...] = ("*",)
    min_severity: Severity = "info"
    budget: Budget = field(default_factory=Budget)
    timeout_s: float = 10.0
    retry_s: float = 1.0
    give_up_s: float = 3600.0
    lasts_s: float = 3600.0
    token: str | None = field(default=None, repr=False)
    secret: bytes | None = field(default=None, repr=False)
    reach: Reach = field(default_factory=Reach)

    def wants(self, source: str) -> bool:
        """Whether it is told of a source at all: a name of ``sources`` or a pattern (``*``, ``?``) fits."""
        return any(fnmatchcase(source, pattern) for pattern in self.sources)

    @property
    def address(self) -> str:
        """Where it leads, without what may be a secret."""
        scheme = self.url.partition(":")[0]
        if self.kind == "apprise":
            return f"{scheme}://"
        url = httpx.URL(self.url)
        return f"{scheme}://{url.host}" + ("" if url.port is None else f":{url.port}")


@dataclass(frozen=True, slots=True)
class NotifyConfig:
    """Notifiers, and the address under which people reach the page (without it notices have no links)."""

    targets: tuple[Target, ...] = ()
    public_url: str | None = None

    @classmethod
    def load(cls, path: Path | None, environment: Mapping[str, str] | None = None) -> "NotifyConfig":
        """Read the file; none gives no notifiers. Raises ConfigError naming what is wrong, and never a secret."""
        if path is None:
            return cls()
        try:
            mapping = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read notifiers from {path}: {error}") from error
        except yaml.YAMLError as error:
            raise ConfigError(f"{path} is no YAML: {yaml_problem(error)}") from None
        try:
            file = _File.model_validate(mapping)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
            raise ConfigError(f"{path}: {wrong}") from None
        names = [entry.name for entry in file.notifiers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"{path}: two notifiers are called {', '.join(twice)}; give each its own name")
        public_url = None if file.public_url is None else file.public_url.rstrip("/")
        if public_url is not None:
            _check_http(public_url, f"{path}: public_url")
        reading = _Reading(path, os.environ if environment is None else environment)
        reach = Reach(file.private_networks)
        return cls(tuple(reading.target(entry, file.budget, reach) for entry in file.notifiers), public_url)


class _Reading:
    """Entries to targets: fetches what they name."""

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        self._path = path
        self._environment = environment

    def target(self, entry: _Alertmanager | _Webhook | _Apprise, budget: Budget, reach: Reach) -> Target:
        where = f"{self._path}: notifier {entry.name}"
        url = self._one(where, "url", entry.url, entry.url_file, entry.url_env)
        if url is None:
            raise ConfigError(f"{where}: give it one of url, url_file and url_env")
        if entry.kind != "apprise":
            _check_http(url, f"{where}: url")
            refusal = reach.refusal(httpx.URL(url).host)
            if refusal is not None:
                raise ConfigError(f"{where}: {refusal}")
        given: dict[str, Any] = {}
        if isinstance(entry, _Token):
            given["token"] = self._one(where, "token", None, entry.token_file, entry.token_env)
        if isinstance(entry, _Webhook):
            secret = self._one(where, "secret", None, entry.secret_file, entry.secret_env)
            given["secret"] = None if secret is None else secret.encode()
        if isinstance(entry, _Alertmanager):
            given["lasts_s"] = entry.lasts_s
        return Target(
            entry.name, entry.kind, url, tuple(entry.sources), entry.min_severity, entry.budget or budget,
            entry.timeout_s, entry.retry_s, entry.give_up_s, reach=reach, **given,
        )  # fmt: skip

    def _one(self, where: str, what: str, plain: str | None, file: Path | None, variable: str | None) -> str | None:
        """The value that one of three ways gives; None where none is named."""
        if sum(way is not None for way in (plain, file, variable)) > 1:
            raise ConfigError(f"{where}: {what} is named twice; keep one of its ways")
        value = plain
        if file is not None:
            value = self._file(where, what, file)
        elif variable is not None:
            if variable not in self._environment:
                raise ConfigError(f"{where}: {what}_env names {variable}, which the environment does not have")
            value = self._environment[variable].strip()
        if value is not None and (not value or not value.isprintable()):
            raise ConfigError(f"{where}: its {what} is empty, or holds control characters")
        if value is not None and what == "token" and not value.isascii():
            raise ConfigError(f"{where}: its token is not ASCII, which no header carries")
        return value

    def _file(self, where: str, what: str, file: Path) -> str:
        """A small text file, beside the configuration unless its path is absolute."""
        try:
            with (self._path.parent / file).open("rb") as stream:
                content = stream.read(FILE_BYTES + 1)
            if len(content) > FILE_BYTES:
                raise ConfigError(f"{where}: {file} is over {FILE_BYTES} bytes, which no {what} is")
            return content.decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
            raise ConfigError(f"{where}: cannot read {what}_file {file}: {why}") from None


def _check_http(url: str, where: str) -> None:
    """Refuse what httpx could not call. Does not repeat the address: it may be a secret."""
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        address = None
    if address is None or address.scheme not in ("http", "https") or not address.host:
        raise ConfigError(f"{where} is no address; give one as in https://example.com/path")
