"""What Redis holds, by what it is for: keys and bytes of each kind, so that it shows what grows.

Owns which key is of which kind. Goes over every key once, but measures only some of those that each request leaves:
there are a million of them in a busy quarter of an hour, and Redis serves nobody else while it measures.
"""

import contextlib
import re
import zlib
from dataclasses import dataclass

import redis

from service.state import keys

SAMPLES = 100
"""Members of a large value that are measured; the others are taken to be like them."""
SCANNED = 500
"""Keys that are looked for at a time."""
ONE_OF = 16
"""Of so many keys of a kind in ``MANY`` one is measured, and counts for all."""
MANY = frozenset({"answers", "retries"})
KINDS = {
    "answers": ("answer",),
    "sessions": ("live", "idle", "peaks", "notes"),
    "incidents": (
        "incidents", "incident_tally", "incident_state", "incident_clauses", "incident_index", "outbox",
    ),
    "ends": ("verdicts",),
    "retries": ("batch", "over", "begun", "arrived", "applied"),
}  # fmt: skip
"""Name of a kind -> what its keys are called behind hash tag and source: kept answers, live sessions, incidents,
verdicts of session ends, and what makes a retry change nothing. All else is ``other``."""
LEVELS = {
    "answers": f"{keys.BATCH_TTL_S // 60} minutes after the first",
    "sessions": "once as many fall silent as begin",
    "incidents": f"at {keys.INCIDENTS_KEPT:,} incidents",
    "ends": f"at {keys.VERDICTS_KEPT:,} verdicts",
    "retries": f"{2 * keys.BATCH_TTL_S // 60} minutes after the first request",
}
"""When what is held of a kind grows no more."""
_NAME = re.compile(r"^tocsin:\{[^}]*\}:(?P<rest>.*)$")


@dataclass(frozen=True, slots=True)
class Holdings:
    """Bytes by kind, and how much there is of what a reader counts."""

    used: int
    bytes: dict[str, int]
    answers: int
    sessions: int
    incidents: int
    ends: int


def read(url: str, source: str) -> Holdings:
    """What the server at ``url`` holds of ``source``. Blocking."""
    sizes = dict.fromkeys((*KINDS, "other"), 0)
    answers = 0
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        used = int(client.info("memory")["used_memory"])
        cursor = 0
        while True:
            # A few at a time: Redis serves those who send lines in between.
            cursor, names = client.scan(cursor, count=SCANNED)
            kinds = {name: kind_of(name.decode(), source) for name in names}
            answers += sum(kind == "answers" for kind in kinds.values())
            measured = [name for name, kind in kinds.items() if zlib.crc32(name) % _one_of(name, kind) == 0]
            with client.pipeline(transaction=False) as pipe:
                for name in measured:
                    pipe.memory_usage(name, samples=SAMPLES)
                for name, size in zip(measured, pipe.execute(), strict=True):
                    sizes[kinds[name]] += (size or 0) * _one_of(name, kinds[name])
            if not cursor:
                break
        with client.pipeline(transaction=False) as pipe:
            for p in range(keys.PARTITIONS):
                pipe.hlen(keys.live(p, source))
            pipe.zcard(keys.incident_index(source))
            pipe.xlen(keys.verdicts(source))
            *live, incidents, ends = pipe.execute()
    return Holdings(used, sizes, answers, sum(live), incidents, ends)


def _one_of(name: bytes, kind: str) -> int:
    """Of so many keys like this one is measured."""
    return ONE_OF if kind in MANY and b":over:" not in name else 1


def kind_of(name: str, source: str) -> str:
    """The kind that a key is of."""
    found = _NAME.match(name)
    if found is None:
        return "other"
    word = found["rest"].removeprefix(f"{source}:").split(":", 1)[0]
    return next((kind for kind, words in KINDS.items() if word in words), "other")
