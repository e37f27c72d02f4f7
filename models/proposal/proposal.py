"""A log looked at by somebody who knows none of it: which source would read it.

Owns the order in which it is tried (a preset that fits, JSON, pairs, parts that can be told, raw text) and what is said
about each choice. Reads no file and knows no clock: the same lines give the same source.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from models.errors import DataError
from models.proposal.layout import find_layout
from models.proposal.masks import proposed
from models.proposal.preview import Preview, look, split
from models.proposal.sessions import COVERED, Candidate, candidates, choose, prefix_of
from models.proposal.structured import Structured, find_structure
from models.source.config import Header, Mask, SessionRule, Source, header_fields

PRESETS = (
    "hdfs", "hadoop_applications", "postgres", "openstack", "nginx", "thunderbird", "bgl", "hadoop", "syslog",
)  # fmt: skip
"""Those with a pattern of their own, the more particular first."""
FITS = 0.95
"""Share of the lines that a format must read to be proposed without another word."""
POOR = 0.7
"""Below that a header is worse than none."""
EARLIEST_S = 631_152_000.0
"""The year 1990: what reads as an earlier time is some other number."""
MIXED = 0.1
"""Share of the lines from which on another format is no accident."""
BINARY = 0.02
"""Share of characters that no text has, from which on a log is none."""
SHOWN_CANDIDATES = 5


@dataclass(frozen=True, slots=True)
class Proposal:
    """A source, ``why`` it is so (by part: format, timestamp, session), what a person should look at (``doubts``), the
    session rules that were ``considered``, and a preview."""

    source: Source
    preset: str | None
    why: Mapping[str, str]
    doubts: tuple[str, ...]
    considered: tuple[Candidate, ...]
    preview: Preview

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "source": self.source.to_dict(),
            "preset": self.preset,
            "why": dict(self.why),
            "doubts": list(self.doubts),
            "sessions_considered": [
                {**asdict(one), "rule": {name: part for name, part in asdict(one.rule).items() if part}}
                for one in self.considered
            ],
            "preview": self.preview.to_dict(),
        }


def propose(
    name: str, lines: Sequence[str], arrival: float, timezone: str | None = None, presets: Sequence[str] = PRESETS
) -> Proposal:
    """The source that would read ``lines``, called ``name``.

    Args:
        lines: an excerpt in the log's order; parts of it may be missing.
        arrival: now, seconds since the epoch: dates a missing year, and lines without a time.
        timezone: IANA name or offset, where the log's timestamps name none; None for UTC.
        presets: those that may be proposed.

    Raises DataError where there is nothing to look at or it is no text.
    """
    own = [line for line in lines if line.strip()]
    _check_text(own)
    found = _by_preset(name, own, timezone, arrival, presets) or _by_structure(name, own, timezone, arrival)
    found = found or _by_layout(name, own, timezone, arrival) or _raw(name, own)
    source, kept, names, preset, why, doubts = found
    plain = _with(source, session=SessionRule(whole=True))
    records = split(plain, own, arrival)
    considered = candidates(records, names) if len(records) else []
    rule = source.session
    if preset is None or rule.whole or _covered(source, own, arrival) < COVERED:
        rule, why["session"] = choose(considered, records, source.timestamp is not None)
    else:
        why["session"] = f"that of the preset {preset}"
    header = source.header
    if header.kind in ("json", "logfmt"):
        header = Header(
            header.kind, message=header.message, timestamp=header.timestamp,
            fields=tuple(one for one in names if one in kept or one in rule.fields),
        )  # fmt: skip
    masks = source.masks
    if preset is None and len(records):
        masks = tuple(proposed(records.message, _own_mask(rule)))
    source = _with(source, header=header, session=rule, masks=masks)
    preview = look(source, own, arrival)
    doubts += _doubts(preview)
    return Proposal(source, preset, why, tuple(doubts), tuple(considered[:SHOWN_CANDIDATES]), preview)


_Found = tuple[Source, Sequence[str], Sequence[str], str | None, dict[str, str], list[str]]
"""A source, the fields that it keeps whatever makes a session, those that may, the preset, why, and doubts."""


def _check_text(lines: Sequence[str]) -> None:
    if not lines:
        raise DataError("no line that holds anything: nothing to look at")
    size = sum(map(len, lines))
    strange = sum(line.count("\0") + line.count("\ufffd") for line in lines)
    strange += sum(sum(c < " " and c not in "\t\r\n\x1b\0" for c in line[:500]) for line in lines)
    if strange > BINARY * size:
        raise DataError(
            "this is no text in UTF-8 (many bytes that no text has); decompress it, or convert it with "
            "`iconv -f UTF-16 -t UTF-8`"
        )


def _by_preset(
    name: str, lines: Sequence[str], timezone: str | None, arrival: float, presets: Sequence[str]
) -> _Found | None:
    best: tuple[float, str, Source] | None = None
    for preset in presets:
        source = Source.load(preset)
        given = {**source.to_dict(), "name": name}
        if timezone is not None and source.timestamp is not None:
            given["timestamp"] = {**asdict(source.timestamp), "timezone": timezone}
        source = Source.from_dict(given)
        records = split(_with(source, session=SessionRule(whole=True)), lines, arrival)
        share = 1.0 - len(records.rejected) / len(lines)
        dated = source.timestamp is None or (records.time >= EARLIEST_S).mean() >= FITS if len(records) else False
        if dated and share >= FITS and (best is None or share > best[0] + 0.01):
            best = share, preset, source
    if best is None:
        return None
    share, preset, source = best
    doubts = []
    if source.timestamp is not None and source.timestamp.year == "arrival":
        doubts.append("the timestamp names no year: the latest year is taken that is not ahead of its arrival")
    if timezone is None and preset not in ("nginx", "bgl", "thunderbird"):
        doubts.append("the timestamp names no time zone: UTC is assumed (--timezone says otherwise)")
    if source.idle_s is not None:
        doubts.append(f"a session ends after {source.idle_s:,.0f} s of silence, as the preset has it (idle_s)")
    why = {"format": f"the preset {preset} reads {share:.1%} of the lines"}
    return source, (), header_fields(source.header), preset, why, doubts


def _by_structure(name: str, lines: Sequence[str], timezone: str | None, arrival: float) -> _Found | None:
    found = find_structure(lines, timezone, arrival)
    if found is None:
        return None
    why = {"format": f"{'JSON objects' if found.kind == 'json' else 'pairs key=value'}, message in {found.message[0]}"}
    doubts = list(found.stamp.assumed) if found.stamp is not None else []
    if found.stamp is not None:
        why["timestamp"] = f"{found.timestamp} reads as {found.stamp.setting.formats[0]}"
    else:
        doubts.append("no key reads as a time: lines are dated by their arrival")
    return _structured(name, found), found.kept, found.keys, None, why, doubts


def _structured(name: str, found: Structured) -> Source:
    stamp = None if found.stamp is None else found.stamp.setting
    header = found.header(found.keys)
    if stamp is None:
        header = Header(header.kind, message=header.message, fields=header.fields)
    return _checked(Source(name, header, stamp))


def _by_layout(name: str, lines: Sequence[str], timezone: str | None, arrival: float) -> _Found | None:
    found = find_layout(lines, timezone, arrival)
    if found is None:
        return None
    setting = None if found.stamp is None else found.stamp.setting
    source = _checked(Source(name, Header("regex", pattern=found.pattern), setting, starts_with=found.starts_with))
    records = split(source, lines, arrival)
    if len(records.rejected) > (1.0 - POOR) * len(lines):
        return None
    names = header_fields(source.header)
    parts = ", ".join([*(["timestamp"] if setting is not None else []), *names, "message"])
    why = {"format": f"parts that can be told: {parts}"}
    doubts = list(found.stamp.assumed) if found.stamp is not None else []
    if setting is not None:
        why["timestamp"] = f"reads as {setting.formats[0]}"
    else:
        doubts.append("no timestamp was found: lines are dated by their arrival")
    if found.starts_with is not None:
        why["records"] = "lines without a timestamp carry on the record above"
    return source, (), names, None, why, doubts


def _raw(name: str, lines: Sequence[str]) -> _Found:
    doubts = ["no format was recognised: each line is one message, dated by its arrival"]
    objects = sum(line.lstrip()[:1] == "{" for line in lines) / len(lines)
    if MIXED <= objects <= 1.0 - MIXED:
        doubts.append(
            f"{objects:.0%} of the lines look like JSON objects, the others do not: make two sources of this log, one "
            "for each format"
        )
    return Source(name, Header("raw")), (), (), None, {"format": "raw text"}, doubts


def _covered(source: Source, lines: Sequence[str], arrival: float) -> float:
    """Share of the records of the format that the source's own rule gives a session."""
    whole = len(split(_with(source, session=SessionRule(whole=True)), lines, arrival))
    return len(split(source, lines, arrival)) / whole if whole else 0.0


def _own_mask(rule: SessionRule) -> list[Mask]:
    """The ids that make sessions, by their own name."""
    prefix = prefix_of(rule)
    return [] if prefix is None or rule.pattern is None else [Mask(prefix.upper(), rule.pattern)]


def _doubts(preview: Preview) -> list[str]:
    found = []
    if preview.unread > 1.0 - FITS:
        found.append(f"{preview.unread:.1%} of the lines do not fit; are there several formats in this log?")
    if preview.records and preview.templates > preview.records / 4 and preview.records >= 200:
        found.append(
            f"{preview.templates:,} templates in {preview.records:,} records: something changes with every line that "
            "no mask catches; look at the templates and add a mask for it"
        )
    return found


def _with(source: Source, **changed: Any) -> Source:
    return _checked(Source(**{name: changed.get(name, getattr(source, name)) for name in Source.__dataclass_fields__}))


def _checked(source: Source) -> Source:
    """The source as it would be read back from its file. Raises ConfigError."""
    return Source.from_dict(source.to_dict())


__all__ = ["Proposal", "propose"]
