"""Requests redacted as they come in, before they are queued, parsed, stored, shown or told to anybody.

Owns which texts of a request are redacted. Does not know what is looked for (``models.source.redaction``).
"""

import asyncio
import hashlib
import hmac
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace

from models.errors import ConfigError
from models.parser import End
from models.source.config import Source
from models.source.redaction import Redactor
from service.errors import Unavailable
from service.pipeline.request import IngestRequest, LineError

FINGERPRINT = b"request\x1f"
"""Before what is hashed, so that no pseudonym is ever the hash of a request."""
IN_LINE = 16
"""Lines that are redacted without a worker thread."""
NO_KEY_RETRY_AFTER_S = 30


class Redaction:
    """Redacts for every source; ``key`` as for ``Redactor``."""

    def __init__(self, key: bytes | None, executor: Executor) -> None:
        self._key = key
        self._executor = executor
        self._made: dict[str, tuple[Source, Redactor]] = {}

    def check(self, source: Source) -> None:
        """Raises ConfigError where the source redacts and there is no key."""
        Redactor(source, self._key)

    def problem(self, source: Source) -> str | None:
        """Why nothing is taken for a source; None where there is no reason."""
        try:
            self.check(source)
        except ConfigError as error:
            return str(error)
        return None

    def fingerprint(self, source: Source, content: bytes) -> str:
        """What tells a request of a source from others, in hex. Redis keeps it and a line may be guessed from a plain
        hash of it: a source that redacts has it keyed, as its pseudonyms are. Call ``of`` first."""
        if not source.redact or self._key is None:
            return hashlib.sha256(content).hexdigest()
        return hmac.new(self._key, FINGERPRINT + content, hashlib.sha256).hexdigest()

    def kept_key(self, source: Source, idempotency_key: str) -> str:
        """An Idempotency-Key as Redis keeps it: clients make theirs of what they send, so where a source redacts it is
        its fingerprint."""
        return self.fingerprint(source, idempotency_key.encode()) if source.redact else idempotency_key

    async def of(self, source: Source, request: IngestRequest) -> IngestRequest:
        """The request without what its source redacts. Raises Unavailable where that needs a key that is not there: a
        shipper keeps its lines until there is one."""
        if not source.redact:
            return request
        redactor = self._redactor(source)
        if len(request.lines) <= IN_LINE:
            return _redacted(redactor, request)
        return await asyncio.get_running_loop().run_in_executor(self._executor, _redacted, redactor, request)

    def _redactor(self, source: Source) -> Redactor:
        made = self._made.get(source.name)
        if made is None or made[0] is not source:
            try:
                made = self._made[source.name] = source, Redactor(source, self._key)
            except ConfigError as error:
                raise Unavailable(str(error), NO_KEY_RETRY_AFTER_S) from error
        return made[1]


def _redacted(redactor: Redactor, request: IngestRequest) -> IngestRequest:
    ended = redactor.ids([end.session for end in request.ends])
    told = redactor.texts([error.error for error in request.rejected])
    return replace(
        request,
        lines=redactor.lines(request.lines),
        sessions=None if request.sessions is None else redactor.ids(request.sessions),
        fields=None if request.fields is None else _fields(redactor, request.fields),
        ends=[End(end.index, session or "") for end, session in zip(request.ends, ended, strict=True)],
        rejected=[LineError(was.index, text or "") for was, text in zip(request.rejected, told, strict=True)],
    )


def _fields(redactor: Redactor, fields: list[Mapping[str, str] | None]) -> list[Mapping[str, str] | None]:
    values = iter(redactor.texts([value for given in fields for value in (given or {}).values()]))
    return [None if given is None else {name: next(values) or "" for name in given} for given in fields]
