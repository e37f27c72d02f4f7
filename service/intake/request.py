"""Entries of one source to an ``IngestRequest``: line, time and session of each, as the source reads them."""

from collections.abc import Mapping, Sequence

from models.source.config import Source
from service.intake import syslog
from service.intake.entry import Entry
from service.intake.routing import Routing
from service.pipeline.request import IngestRequest, LineError

MAX_SESSION_BYTES = 512
"""As for the sessions of ``POST /ingest``."""


def build(source: Source, entries: Sequence[Entry], routing: Routing) -> IngestRequest:
    """The request for n entries; places in it are positions among the entries.

    A time that the sender gave stands above the line's own timestamp; when a shipper saw the line serves only where the
    source reads no timestamp. A source that reads JSON gets the whole document, unless the line is an object itself;
    one that reads syslog's header gets a syslog message with it.
    """
    lines: list[str] = []
    index: list[int] = []
    sessions: list[str | None] = []
    times: list[float | None] = []
    fields: list[Mapping[str, str] | None] = []
    rejected: list[LineError] = []
    whole = source.header.kind == "json"
    form = syslog.form_read(source.header) if any(entry.written is not None for entry in entries) else None
    for position, entry in enumerate(entries):
        session = routing.session(source.name, entry.labels)
        named = {} if session is not None else _fields(source, entry)
        if len((session or "/".join(named.values())).encode()) > MAX_SESSION_BYTES:
            rejected.append(LineError(position, f"its session is over {MAX_SESSION_BYTES} bytes"))
            continue
        line, time_ns = entry.line, entry.time_ns
        if form is not None and entry.written is not None:
            line, time_ns = entry.written(form)
        if time_ns is None and source.timestamp is None:
            time_ns = entry.seen_ns
        document = None if not whole or entry.line.lstrip().startswith("{") else entry.document
        lines.append(line if document is None else document)
        index.append(position)
        sessions.append(session)
        times.append(None if time_ns is None else time_ns / 1e9)
        fields.append(named or None)
    return IngestRequest(
        source.name,
        len(entries),
        lines,
        index,
        sessions if any(session is not None for session in sessions) else None,
        times if any(time is not None for time in times) else None,
        fields if any(fields) else None,
        rejected=rejected,
    )


def _fields(source: Source, entry: Entry) -> dict[str, str]:
    """What the entry says of the fields that make the source's session."""
    found = {name: entry.labels.get(name) for name in source.session.fields}
    return {name: value for name, value in found.items() if value is not None}
