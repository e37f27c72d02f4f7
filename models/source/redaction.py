"""Personal data and secrets taken out of lines and session ids, as columns, before anything else sees them.

Owns where each kind is replaced by a placeholder and where by a keyed hash. Training and the service both come here, so
that both mine the same templates. Does not know what a kind looks like (``models.source.personal``).
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from functools import partial

import orjson
import polars as pl

from models.errors import ConfigError
from models.source.config import Source
from models.source.personal import KINDS, Kind, Redact

_MARK = "\U0010ffff"
"""Around a match; no character, so that no text need hold it."""
_ESCAPE = r"\\[u/]"

StandIn = Callable[[str], str]


class Redactor:
    """Redacts by a source's ``redact``. ``key`` is what pseudonyms are hashed with (HMAC-SHA256); the same key gives
    the same pseudonym, and nobody without it can try values out.

    Raises ConfigError where the source redacts and there is no key: without one session ids would flow together.
    """

    def __init__(self, source: Source, key: bytes | None) -> None:
        if source.redact and not key:
            raise ConfigError(
                f"source {source.name} redacts, which needs TOCSIN_REDACTION_KEY: any long random text, the same for "
                "training and every replica"
            )
        self._key = key or b""
        self._json = source.header.kind == "json"
        self._kinds = [(item, KINDS.get(item.name) or Kind((item.pattern or "",))) for item in source.redact]
        self._from_text = source.session.pattern is not None or bool(source.session.fields)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._kinds

    def lines(self, lines: Sequence[str]) -> list[str]:
        """n lines to n lines."""
        if self.idle:
            return list(lines)
        column = pl.Series(lines, dtype=pl.String)
        if self._json:
            # An escape is another way to write the same text, which the parser reads as it was.
            column = _each(column, column.str.contains(_ESCAPE), _unescaped)
        return self._redacted(column).to_list()

    def texts(self, texts: Sequence[str | None]) -> list[str | None]:
        """n fields of headers, of which sessions may be made; None stays None."""
        return list(texts) if self.idle else self._redacted(pl.Series(texts, dtype=pl.String)).to_list()

    def ids(self, ids: Sequence[str | None]) -> list[str | None]:
        """n session ids; what is found in one is always replaced by a pseudonym, so that sessions stay apart."""
        return list(ids) if self.idle else self._redacted(pl.Series(ids, dtype=pl.String), ids=True).to_list()

    def _redacted(self, column: pl.Series, *, ids: bool = False) -> pl.Series:
        column = column.str.replace_all(_MARK, "", literal=True)
        for item, kind in self._kinds:
            usual = kind.pseudonym is not None and self._from_text
            hashed = ids or (usual if item.pseudonym is None else item.pseudonym)
            stand_in = partial(self._pseudonym, item, kind) if hashed else partial(_placeholder, item.name)
            for pattern in kind.patterns:
                if not hashed and kind.replaced is None:
                    column = column.str.replace_all(pattern, _replacement(item.name, pattern))
                    continue
                found = column.str.contains(pattern).fill_null(value=False)
                if found.any():
                    marked = column.str.replace_all(pattern, f"{_MARK}${{0}}{_MARK}")
                    column = _each(marked, found, partial(_between_marks, kind, stand_in))
        return column

    def _pseudonym(self, item: Redact, kind: Kind, value: str) -> str:
        digest = hmac.new(self._key, f"{item.name}:{value}".encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
        return f"{item.name.lower()}-{digest[:8].hex()}" if kind.pseudonym is None else kind.pseudonym(digest)


def _replacement(name: str, pattern: str) -> str:
    keep, then = (f"${{{group}}}" if f"(?P<{group}>" in pattern else "" for group in ("keep", "then"))
    return f"{keep}<{name}>{then}"


def _placeholder(name: str, _value: str) -> str:
    return f"<{name}>"


def _between_marks(kind: Kind, stand_in: StandIn, text: str) -> str:
    parts = text.split(_MARK)
    replaced = kind.replaced
    parts[1::2] = [stand_in(part) if replaced is None else replaced(part, stand_in) for part in parts[1::2]]
    return "".join(parts)


def _each(column: pl.Series, chosen: pl.Series, change: Callable[[str], str]) -> pl.Series:
    """The column with its chosen texts changed one by one."""
    rows = chosen.fill_null(value=False).arg_true()
    if not len(rows):
        return column
    changed = pl.Series([change(text) for text in column.gather(rows).to_list()], dtype=pl.String)
    return column.clone().scatter(rows, changed)


def _unescaped(line: str) -> str:
    """A JSON document with no more escapes than it needs; what is none stays as it is."""
    try:
        return orjson.dumps(orjson.loads(line)).decode()
    except orjson.JSONDecodeError:
        return line
