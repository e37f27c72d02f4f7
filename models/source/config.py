"""What a source is: the settings, read, checked and written back.

Owns: every setting of a source, its defaults, and the presets. Does not parse a line (``header``, ``timestamp``,
``session``, ``masking`` do).
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self, cast, get_args

import orjson
import yaml

from models.errors import ConfigError
from models.source import regex
from models.source.personal import Redact, read_redact
from models.source.section import Section, nearest
from models.source.timestamp import check_format, check_timezone, has_year

HeaderKind = Literal["regex", "json", "logfmt", "raw"]
SessionScope = Literal["message", "line"]

_PRESETS = Path(__file__).parent / "presets"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MASK_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,31}")
_MESSAGE_KEYS = ("message", "msg")


@dataclass(frozen=True, slots=True)
class Header:
    """How a line splits into fields and message.

    ``regex``: ``pattern`` with the named groups ``message``, ``timestamp`` (optional) and any others, which become
    fields. ``json`` and ``logfmt``: ``message``, ``timestamp`` are the keys tried in order, ``fields`` the keys kept; a
    dot steps into a nested JSON object. ``raw``: the line is the message.
    """

    kind: HeaderKind
    pattern: str | None = None
    message: tuple[str, ...] = ()
    timestamp: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Timestamp:
    """How the header's timestamp reads.

    ``formats`` are tried in order: strptime patterns as chrono has them (fractions: ``%.f``, ``%3f``), ``iso``,
    ``epoch_s``, ``epoch_ms`` or ``epoch`` (unit by magnitude). ``timezone`` (IANA name or ``+hh:mm``) holds where the
    text names none. ``year`` serves patterns without a year: ``arrival`` or a fixed one.
    """

    formats: tuple[str, ...]
    timezone: str = "UTC"
    year: Literal["arrival"] | int | None = None


@dataclass(frozen=True, slots=True)
class SessionRule:
    """What makes a session id; exactly one of ``pattern``, ``fields``, ``window_s``, ``whole`` is set.

    ``pattern`` finds ids in the message or the line (``over``): each distinct match is one session, its first group
    the id if it has one. ``fields`` are joined by ``/``, an absent one is ``-``. ``window_s`` cuts event time into
    windows of that many seconds. ``whole``: the source is one session, ``all``.
    """

    pattern: str | None = None
    over: SessionScope = "message"
    fields: tuple[str, ...] = ()
    window_s: float | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Mask:
    """A parameter that is told by its look: matches become ``<NAME>``; a group named ``keep`` stays in front of it."""

    name: str
    pattern: str


@dataclass(frozen=True, slots=True)
class DrainSettings:
    """The template tree's: see the Drain paper (He et al., ICWS 2017, section III); ``new_per_minute`` is our cap."""

    depth: int = 4
    similarity: float = 0.4
    max_children: int = 100
    max_templates: int = 20_000
    new_per_minute: int = 600


@dataclass(frozen=True, slots=True)
class Source:
    """One kind of log.

    ``starts_with`` marks the first line of a record; lines that do not match it carry on the record above. ``ends_on``
    are patterns over the masked message: a record that matches one ends its session. ``idle_s`` is the silence after
    which a session is over, None to take it from the gaps seen in training. ``redact`` is taken out of lines before
    anything else is done with them.
    """

    name: str
    header: Header
    timestamp: Timestamp | None = None
    session: SessionRule = SessionRule(whole=True)
    starts_with: str | None = None
    ends_on: tuple[str, ...] = ()
    masks: tuple[Mask, ...] = ()
    redact: tuple[Redact, ...] = ()
    drain: DrainSettings = DrainSettings()
    idle_s: float | None = None
    lateness_s: float = 60.0
    max_line_bytes: int = 65_536

    @classmethod
    def from_dict(cls, mapping: Mapping[str, object]) -> Self:
        """Read and check.

        Raises:
            ConfigError: an unknown, missing or wrong setting, by its name.
        """
        section = Section(mapping, "", tuple(cls.__dataclass_fields__))
        name = section.text("name")
        if not _NAME.fullmatch(name):
            raise ConfigError(f"name must be 1 to 64 letters, digits, '.', '_' or '-', not {name!r}")
        header = _header(section.raw("header"))
        return cls(
            name=name,
            header=header,
            timestamp=_timestamp(section.raw("timestamp"), header) if "timestamp" in section else None,
            session=_session(section.raw("session"), header) if "session" in section else SessionRule(whole=True),
            starts_with=(regex.check(section.text("starts_with"), "starts_with") if "starts_with" in section else None),
            ends_on=tuple(
                regex.check(pattern, f"ends_on[{position}]", may_be_empty=False)
                for position, pattern in enumerate(section.texts("ends_on"))
            ),
            masks=tuple(_mask(item, where) for where, item in section.items("masks")),
            redact=tuple(read_redact(item, where) for where, item in section.items("redact")),
            drain=_drain(section.raw("drain")) if "drain" in section else DrainSettings(),
            idle_s=section.number("idle_s", 0.0, above=0.0) if "idle_s" in section else None,
            lateness_s=section.number("lateness_s", 60.0, above=-1e-9),
            max_line_bytes=section.integer("max_line_bytes", 65_536, least=1),
        )

    def to_dict(self) -> dict[str, object]:
        """Plain JSON that ``from_dict`` reads back to an equal source."""
        return cast("dict[str, object]", _plain(asdict(self)))

    @classmethod
    def load(cls, path_or_preset: str | Path) -> Self:
        """A preset by its name, or a YAML file by its path.

        Raises:
            ConfigError: neither is there, or what is there is wrong.
        """
        known = presets()
        path = _PRESETS / f"{path_or_preset}.yaml" if str(path_or_preset) in known else Path(path_or_preset)
        try:
            mapping = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            hint = nearest(str(path_or_preset), known)
            raise ConfigError(
                f"no preset and no readable file {str(path_or_preset)!r} ({error.strerror}); presets: {hint}"
            ) from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is no YAML: {error}") from None
        try:
            return cls.from_dict(mapping)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None

    def fingerprint(self) -> str:
        """Sha256 (hex) of what gives old sessions and templates their meaning: format, masks, session rule, what is
        redacted."""
        plain = self.to_dict()
        meaning = {name: plain.get(name) for name in ("header", "timestamp", "session", "starts_with", "masks")}
        if self.redact:
            meaning["redact"] = plain["redact"]
        return hashlib.sha256(orjson.dumps(meaning, option=orjson.OPT_SORT_KEYS)).hexdigest()


def presets() -> list[str]:
    """Names of the presets, sorted."""
    return sorted(path.stem for path in _PRESETS.glob("*.yaml"))


def header_fields(header: Header) -> tuple[str, ...]:
    """Names of the fields that the header gives: without message and timestamp."""
    if header.kind != "regex":
        return header.fields
    named = regex.groups(header.pattern or "")
    return tuple(name for name in named if name not in ("message", "timestamp") and not name.isdigit())


def _header(value: object) -> Header:
    if value is None:
        raise ConfigError("header is missing: say at least `header: {kind: raw}`")
    section = Section(value, "header", tuple(Header.__dataclass_fields__))
    kind = section.text("kind")
    if kind not in get_args(HeaderKind):
        raise ConfigError(f"unknown header.kind {kind!r}: {nearest(kind, get_args(HeaderKind))}")
    used = {"regex": ("pattern",), "raw": ()}.get(kind, ("message", "timestamp", "fields"))
    for name in ("pattern", "message", "timestamp", "fields"):
        if name in section and name not in used:
            raise ConfigError(f"header.{name} has no meaning for header.kind {kind}")
    if kind == "regex":
        pattern = regex.check(section.text("pattern"), "header.pattern")
        if "message" not in regex.groups(pattern):
            raise ConfigError("header.pattern needs a group (?P<message>...)")
        return Header("regex", pattern=pattern)
    if kind == "raw":
        return Header("raw")
    fields = section.texts("fields")
    if len(set(fields)) < len(fields):
        raise ConfigError("header.fields names a key twice")
    return Header(
        cast("HeaderKind", kind),
        message=section.texts("message") or _MESSAGE_KEYS,
        timestamp=section.texts("timestamp"),
        fields=fields,
    )


def _timestamp(value: object, header: Header) -> Timestamp:
    section = Section(value, "timestamp", tuple(Timestamp.__dataclass_fields__))
    if header.kind == "regex" and "timestamp" not in regex.groups(header.pattern or ""):
        raise ConfigError("timestamp is set, but header.pattern has no group (?P<timestamp>...)")
    if header.kind in ("json", "logfmt") and not header.timestamp:
        raise ConfigError("timestamp is set, but header.timestamp names no key")
    if header.kind == "raw":
        raise ConfigError("timestamp has no meaning for header.kind raw: its lines have no timestamp of their own")
    formats = section.texts("formats")
    if not formats:
        raise ConfigError("timestamp.formats is missing")
    year = section.raw("year")
    if year is not None and year != "arrival" and (type(year) is not int or not 1970 <= year <= 9999):
        raise ConfigError(f"timestamp.year must be `arrival` or a year from 1970 to 9999, not {year!r}")
    for position, pattern in enumerate(formats):
        check_format(pattern, f"timestamp.formats[{position}]")
        if year is None and not has_year(pattern):
            raise ConfigError(
                f"timestamp.formats[{position}] {pattern!r} has no year: set timestamp.year to `arrival` or a year"
            )
    timezone = check_timezone(section.text("timezone", "UTC"), "timestamp.timezone")
    return Timestamp(formats, timezone, year)


def _session(value: object, header: Header) -> SessionRule:
    section = Section(value, "session", tuple(SessionRule.__dataclass_fields__))
    whole = section.raw("whole")
    if whole not in (None, True, False):
        raise ConfigError(f"session.whole must be true or false, not {whole!r}")
    fields = section.texts("fields")
    rules = [name for name in ("pattern", "window_s") if name in section]
    rules += ["fields"] if fields else []
    rules += ["whole"] if whole else []
    if len(rules) != 1:
        raise ConfigError(
            f"session needs exactly one of pattern, fields, window_s, whole, not {' and '.join(rules) or 'none'}"
        )
    if "over" in section and section.text("over") not in get_args(SessionScope):
        raise ConfigError(f"session.over must be message or line, not {section.raw('over')!r}")
    known = header_fields(header)
    for name in fields:
        if name not in known:
            raise ConfigError(f"session.fields names {name!r}, which the header does not give: {nearest(name, known)}")
    return SessionRule(
        pattern=(
            regex.check(section.text("pattern"), "session.pattern", may_be_empty=False)
            if "pattern" in section
            else None
        ),
        over=cast("SessionScope", section.text("over", "message")),
        fields=fields,
        window_s=section.number("window_s", 1.0, above=0.0) if "window_s" in section else None,
        whole=whole is True,
    )


def _mask(value: object, where: str) -> Mask:
    section = Section(value, where, tuple(Mask.__dataclass_fields__))
    name = section.text("name")
    if not _MASK_NAME.fullmatch(name):
        raise ConfigError(f"{where}.name must be upper-case letters, digits or '_' (at most 32), not {name!r}")
    return Mask(name, regex.check(section.text("pattern"), f"{where}.pattern", may_be_empty=False))


def _drain(value: object) -> DrainSettings:
    section = Section(value, "drain", tuple(DrainSettings.__dataclass_fields__))
    usual = DrainSettings()
    similarity = section.number("similarity", usual.similarity, above=0.0)
    if similarity > 1.0:
        raise ConfigError(f"drain.similarity must be at most 1, not {similarity!r}")
    return DrainSettings(
        depth=section.integer("depth", usual.depth, least=3),
        similarity=similarity,
        max_children=section.integer("max_children", usual.max_children, least=2),
        max_templates=section.integer("max_templates", usual.max_templates, least=1, most=usual.max_templates),
        new_per_minute=section.integer("new_per_minute", usual.new_per_minute, least=1),
    )


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if item is not None and item != ()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
