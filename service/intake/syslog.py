"""Syslog messages, RFC 5424 and RFC 3164, to entries.

Of RFC 3164 also what senders make of it: a timestamp of RFC 3339, no timestamp, no host, no tag. Names are those of RFC
5424 in small letters (``app-name``, ``hostname``, ``procid``, ``msgid``), ``facility`` and ``severity`` by keyword,
``peer``, and parameters of structured data as ``SD-ID.name``. Owns the format only.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import polars as pl

from models.source.config import Header
from models.source.header import HeaderParser
from service.intake.entry import Entry, Labels, checked_ns

USUAL_NAMES = ("app-name",)
"""Where a source is named if nothing else says it."""

FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
)  # fmt: skip
SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
NIL = "-"

TRADITIONAL, PRECISE = range(2)
"""The two forms in which syslog daemons write files: ``Oct 11 22:14:15 host app[1]: text``, and with RFC 3339 times."""
_PROBES = ("Oct 11 22:14:15", "2003-10-11T22:14:15.003000+00:00")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
_PRIORITY = re.compile("<(0|[1-9][0-9]{0,2})>")
_VERSION_1 = re.compile("1 (?=- |[0-9]{4}-[0-9]{2}-[0-9]{2}T)")
"""A message of RFC 3164 may begin with ``1 `` too: what follows tells them apart."""
_HEADER = re.compile(rf"(-|{_TIME}) ([!-~]+) ([!-~]+) ([!-~]+) ([!-~]+) ")
_PARAMETER = r' [!#-<>-\\^-~]+="(?:[^"\\]|\\.)*"'
_ELEMENT = rf"\[[!#-<>-\\^-~]+(?:{_PARAMETER})*\]"
_DATA = re.compile(rf"(-|(?:{_ELEMENT})+)(?: |$)", re.DOTALL)
_NAMED = re.compile(r'\[([!#-<>-\\^-~]+)| ([!#-<>-\\^-~]+)="((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\\]])')
_STAMP = re.compile(rf"((?:{'|'.join(MONTHS)}) [ 0-3]?[0-9] [0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}})(?: |$)|({_TIME})(?: |$)")
_HOST = re.compile(r"([!-Z\\^-~]*[!-9;-Z\\^-~]) ")
"""A word that could be a tag (``app:``, ``app[1]:``) is none: some senders leave the host out."""
_TAG = re.compile(r"([!-9;-Z\\^-~]{1,128})(?:\[([!-Z\\^-~]{1,128})\])?:(?: |$)")


class Malformed(ValueError):
    """A message that cannot be read; ``reason`` is one word for a metric."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"malformed syslog message: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """One message taken apart. What it does not say is None.

    ``stamp`` is the time as it was written, ``time_ns`` the same where it has a zone; ``seen_ns`` is its arrival.
    ``data`` is the structured data as it was written.
    """

    priority: int
    text: str
    seen_ns: int
    peer: str
    stamp: str | None = None
    time_ns: int | None = None
    host: str | None = None
    app: str | None = None
    process: str | None = None
    id: str | None = None
    data: str = NIL

    def get(self, name: str) -> str | None:
        """The value of a name; None where it did not come."""
        match name:
            case "app-name":
                return self.app
            case "hostname":
                return self.host
            case "procid":
                return self.process
            case "msgid":
                return self.id
            case "facility":
                return FACILITIES[self.priority // 8]
            case "severity":
                return SEVERITIES[self.priority % 8]
            case "peer":
                return self.peer
        return None if self.data == NIL or "." not in name else self._parameter(name)

    def written(self, form: int) -> tuple[str, int | None]:
        """The line as a syslog daemon writes it to its file, and the time where that stands above the line's own."""
        zoned = self.time_ns is not None
        if form == TRADITIONAL and self.stamp is not None:
            stamp, time_ns = _traditional(self.stamp) if zoned else self.stamp, self.time_ns
        elif form == PRECISE and zoned:
            stamp, time_ns = str(self.stamp), self.time_ns
        else:
            seen = (_EPOCH + timedelta(microseconds=self.seen_ns // 1_000)).isoformat(timespec="microseconds")
            # Without year and zone a time says less than the arrival, where the source reads both.
            stamp, time_ns = _traditional(seen) if form == TRADITIONAL else seen, self.seen_ns
        process = f"[{self.process}]" if self.process is not None else ""
        tag = f" {self.app}{process}:" if self.app is not None else ""
        return f"{stamp} {self.host or self.peer}{tag} {self.text}", time_ns

    def _parameter(self, name: str) -> str | None:
        element = ""
        for found in _NAMED.finditer(self.data):
            begins, parameter, value = found.groups()
            if begins is not None:
                element = begins
            elif f"{element}.{parameter}" == name:
                return _ESCAPED.sub(r"\1", value)
        return None


def entry(index: int, message: bytes, peer: str, seen_ns: int) -> Entry:
    """The entry of one message. The line is what was said, without header; ``written`` has it with one.

    Raises Malformed: ``empty``, ``priority`` (none, or over 191), ``header``, ``time`` or ``data`` of RFC 5424.
    """
    parsed = parse(message, peer, seen_ns)
    return Entry(index, parsed.text, Labels(parsed.get), parsed.time_ns, seen_ns, written=parsed.written)


def parse(message: bytes, peer: str, seen_ns: int) -> Message:
    """One message without its framing. Bytes that are no UTF-8 become U+FFFD. Raises Malformed."""
    text = message.rstrip(b"\r\n\0").decode("utf-8", "replace")
    if not text:
        raise Malformed("empty")
    found = _PRIORITY.match(text)
    if found is None or int(found[1]) > 191:
        raise Malformed("priority")
    begin = partial(Message, int(found[1]), seen_ns=seen_ns, peer=peer)
    version = _VERSION_1.match(text, found.end())
    return _old(begin, text, found.end()) if version is None else _new(begin, text, version.end())


def form_read(header: Header) -> int | None:
    """Which form of a whole line a source's header reads, with its timestamp; None for sources of bare messages."""
    if header.kind != "regex":
        return None
    lines = pl.Series([f"{stamp} host app[1]: text" for stamp in _PROBES], dtype=pl.String)
    parsed = HeaderParser(header).parse(lines)
    if parsed.timestamp is None:
        return None
    read = [message is not None for message in parsed.message]
    forms = (f for f in (TRADITIONAL, PRECISE) if read[f] and parsed.timestamp[f] == _PROBES[f])
    return next(forms, None)


def _new(begin: "partial[Message]", text: str, at: int) -> Message:
    """RFC 5424, from behind its version on."""
    header = _HEADER.match(text, at)
    if header is None:
        raise Malformed("header")
    stamp, host, app, process, name = (None if value == NIL else value for value in header.groups())
    time_ns = None if stamp is None else _nanoseconds(stamp)
    data = _DATA.match(text, header.end())
    if data is None:
        raise Malformed("data")
    said = text[data.end() :]
    # rsyslog passes on the blank that RFC 3164 has between tag and text.
    said = said.removeprefix("\ufeff") if said.startswith("\ufeff") else said.removeprefix(" ")
    return begin(
        said,
        stamp=stamp,
        time_ns=time_ns,
        host=host,
        app=app,
        process=process,
        id=name,
        data=data[1],
    )


def _old(begin: "partial[Message]", text: str, at: int) -> Message:
    """RFC 3164, from behind the priority on."""
    stamp = time_ns = host = None
    found = _STAMP.match(text, at)
    if found is not None:
        at = found.end()
        stamp = found[1] or found[2]
        time_ns = None if found[2] is None else _nanoseconds(found[2])
        named = _HOST.match(text, at)
        if named is not None:
            host, at = named[1], named.end()
    tag = _TAG.match(text, at)
    if tag is None:
        return begin(text[at:], stamp=stamp, time_ns=time_ns, host=host)
    return begin(text[tag.end() :], stamp=stamp, time_ns=time_ns, host=host, app=tag[1], process=tag[2])


def _nanoseconds(stamp: str) -> int:
    try:
        return checked_ns((datetime.fromisoformat(stamp) - _EPOCH) // _MICROSECOND * 1_000)
    except (ValueError, OverflowError):
        raise Malformed("time") from None


def _traditional(stamp: str) -> str:
    """A time of RFC 3339 as RFC 3164 writes it, in its own zone."""
    return f"{MONTHS[int(stamp[5:7]) - 1]} {int(stamp[8:10]):2d} {stamp[11:19]}"
