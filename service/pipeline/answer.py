"""What goes back to the caller of ``POST /ingest``, encoded once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import orjson

from models.verdict import LineVerdicts, Verdict
from service.pipeline.request import LineError

Wanted = Literal["all", "anomalous", "none"]


@dataclass(frozen=True, slots=True)
class OwnLines:
    """Which of a batch's ``verdicts`` are one request's; ``offset``: its first place in the batch."""

    verdicts: LineVerdicts
    which: range
    offset: int


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status and a JSON body."""

    status: int
    body: bytes


def encode(
    source: str,
    received: int,
    rejected: Sequence[LineError],
    lines: OwnLines,
    ends: Sequence[Verdict],
    versions: Mapping[str, str | int | None],
    wanted: Wanted,
) -> Answer:
    """The answer to one request; 422 where every line was rejected."""
    pieces: list[str] = []
    shown: Sequence[Verdict] = ()
    if wanted == "all":
        pieces, shown = lines.verdicts.encoded(lines.which, lines.offset), ends
    elif wanted == "anomalous":
        pieces = lines.verdicts.encoded_anomalous(lines.which, lines.offset)
        shown = [end for end in ends if end["anomalous"]]
    for end in shown:
        pieces += ("," if pieces else "", _json(end))
    head = _json(
        {
            "source": source,
            "received": received,
            "rejected": [{"index": error.index, "error": error.error} for error in rejected],
        }
    )
    body = "".join([head[:-1], ',"verdicts":[', *pieces, '],"versions":', _json(versions), "}"]).encode()
    status = 422 if received and len(rejected) == received else 200
    return Answer(status, body)


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
