"""Which source an entry goes to, and which of its names make the session: what an operator says in one YAML file.

Without the file the names that a protocol usually has decide (``service.name``, ``app``, ``_index``). A source that the
request itself names stands above everything. Does not know which sources there are.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Self

import yaml

from models.errors import ConfigError
from models.source.section import Section
from models.source.session import ABSENT
from service.intake.entry import Decoded, Entry, Labels


@dataclass(frozen=True, slots=True)
class Route:
    """Entries whose names all match go to ``source``; ``when`` holds pairs of name and pattern (``*``, ``?``)."""

    when: tuple[tuple[str, str], ...]
    source: str

    def fits(self, labels: Labels) -> bool:
        """Whether each name came and matches."""
        values = ((labels.get(name), pattern) for name, pattern in self.when)
        return all(value is not None and fnmatchcase(value, pattern) for value, pattern in values)


@dataclass(frozen=True, slots=True)
class Routing:
    """Routes in the order in which they are tried; and by source, the names that make a session together."""

    routes: tuple[Route, ...] = ()
    sessions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path | None) -> Self:
        """Read the file; none gives none. Raises ConfigError naming what is wrong."""
        if path is None:
            return cls()
        try:
            mapping = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"cannot read intake rules from {path}: {error}") from error
        try:
            return cls.from_dict({} if mapping is None else mapping)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None

    @classmethod
    def from_dict(cls, mapping: object) -> Self:
        """Read and check. Raises ConfigError."""
        section = Section(mapping, "intake", ("routes", "sessions"))
        routes = []
        for where, value in section.items("routes"):
            route = Section(value, where, ("when", "source"))
            routes.append(Route(tuple(_names(route.raw("when"), f"{where}.when")), route.text("source")))
        given = section.raw("sessions")
        if given is None:
            return cls(tuple(routes))
        sources = tuple(given) if isinstance(given, Mapping) else ()
        sessions = Section(given, "intake.sessions", sources)
        return cls(tuple(routes), {source: sessions.texts(source) for source in sources})

    def divide(self, decoded: Decoded, named: str | None, usual: Sequence[str]) -> dict[str, list[Entry]]:
        """Entries by source, in order; what names no source joins the errors of ``decoded``.

        Args:
            decoded: entries of one body.
            named: the source that the request names, if it does.
            usual: names that say the source where no route fits, in the order in which they are tried.
        """
        if named:
            return {named: decoded.entries} if decoded.entries else {}
        found: dict[str, list[Entry]] = defaultdict(list)
        kept = []
        by_stream: dict[int, str | None] = {}
        for entry in decoded.entries:
            source = next((route.source for route in self.routes if route.fits(entry.labels)), None)
            if source is None:
                stream = entry.labels.stream or entry.labels
                if id(stream) not in by_stream:
                    by_stream[id(stream)] = next(filter(None, map(stream.get, usual)), None)
                source = by_stream[id(stream)]
            if source is None:
                decoded.errors[entry.index] = (
                    f"no source: none of {', '.join(usual)} is set; set one, add ?source=NAME to the address, or name "
                    "a route in the file that TOCSIN_INTAKE_RULES names"
                )
                continue
            kept.append(entry)
            found[source].append(entry)
        decoded.entries = kept
        return dict(found)

    def session(self, source: str, labels: Labels) -> str | None:
        """The session that an entry names by itself, joined as a source's own session fields are; else None."""
        names = self.sessions.get(source, ())
        values = [labels.get(name) for name in names]
        if not any(values):
            return None
        return "/".join(value or ABSENT for value in values)


def _names(value: object, where: str) -> list[tuple[str, str]]:
    if not isinstance(value, Mapping) or not value:
        raise ConfigError(f'{where} must be a mapping of names to patterns, as in `service.name: "shop-*"`')
    for name, pattern in value.items():
        if not isinstance(name, str) or not isinstance(pattern, str):
            raise ConfigError(f"{where}.{name} must be a text")
    return list(value.items())
