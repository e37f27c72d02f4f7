"""What goes back to the caller of ``POST /ingest``, encoded once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import orjson

from models.verdict import Verdict
from service.pipeline.request import LineError

Wanted = Literal["all", "anomalous", "none"]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status and a JSON body."""

    status: int
    body: bytes


def encode(
    source: str,
    received: int,
    rejected: Sequence[LineError],
    verdicts: Sequence[Verdict],
    versions: Mapping[str, str | int | None],
    wanted: Wanted,
) -> Answer:
    """The answer to one request; 422 where every line was rejected."""
    if wanted == "none":
        shown: Sequence[Verdict] = ()
    elif wanted == "anomalous":
        shown = [verdict for verdict in verdicts if verdict["anomalous"]]
    else:
        shown = verdicts
    status = 422 if received and len(rejected) == received else 200
    body = orjson.dumps(
        {
            "source": source,
            "received": received,
            "rejected": [{"index": error.index, "error": error.error} for error in rejected],
            "verdicts": shown,
            "versions": versions,
        }
    )
    return Answer(status, body)
