"""What a run came to in effect: verdicts, ends of sessions, incidents and templates, in terms that two runs share.

Owns the comparison. Ids that are made during a run never count: template ids, incident ids, and what is made of them.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from models.template.change import Change
from models.template.tree import TemplateTree
from service.state import trees
from service.state.connection import open_client
from tests.faults.client import Acknowledged

SCORE_TOLERANCE = 1e-9
SHOWN = 5
"""Differences of a kind that are told."""
PAGE = 1_000


Effects = Mapping[tuple[object, ...], Sequence[float]]
"""Scores of what has the same key, in order."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The effects of a run. Scores stand apart from what must be equal to the letter.

    ``lines``: what was said of a (line of the log, session), with how often; ``ends``: of a (session, begin, end),
    each time; ``incidents``: of a (session, kind, detector, template, first seen, last seen), each with how often it
    was seen; ``templates``: texts; ``live``: sessions that are open still.
    """

    lines: Effects
    twice: int
    ends: Effects
    incidents: Effects
    templates: Counter[str]
    live: int

    @property
    def anomalous(self) -> int:
        """Lines' verdicts that rang."""
        return sum(1 for line in self.lines if line[2])


async def read(url: str, redis_url: str, source: str, answers: Sequence[Acknowledged]) -> Outcome:
    """The outcome of a run whose batches were all acknowledged, by what ``url`` says now. Templates are read from
    Redis: a replica follows with its next batch."""
    async with httpx.AsyncClient(base_url=url, timeout=60.0, trust_env=False) as http:
        (entry,) = [one for one in (await _get(http, "/sources"))["sources"] if one["name"] == source]
        ends = [end async for end in _pages(http, "/verdicts", "verdicts", "since", source)]
        incidents = [one async for one in _pages(http, "/incidents", "incidents", "cursor", source)]
    # A template may have been widened since a verdict named it.
    text = await _texts(redis_url, source)
    lines, twice = _lines(answers, text)
    return Outcome(
        lines, twice, _scored((_end(end), end["score"]) for end in ends),
        _scored((_incident(one), one["score"]) for one in incidents), Counter(text.values()), entry["sessions"],
    )  # fmt: skip


async def _texts(redis_url: str, source: str) -> dict[int, str]:
    redis = open_client(redis_url)
    try:
        stored = await trees.load(redis, source)
    finally:
        await redis.aclose()
    assert stored is not None
    tree = TemplateTree.restore(stored.snapshot)
    tree.apply([Change.from_dict(change) for change in stored.changes])
    return tree.texts()


def differences(expected: Outcome, found: Outcome) -> list[str]:
    """What differs, in words; nothing where the two runs came to the same."""
    told = []
    if found.twice:
        told.append(f"{found.twice} verdicts came twice")
    for name in ("lines", "ends", "incidents"):
        told += _compared(name, getattr(expected, name), getattr(found, name))
    if expected.templates != found.templates:
        gone, come = expected.templates - found.templates, found.templates - expected.templates
        told.append(f"templates: without {list(gone)[:SHOWN]}, with {list(come)[:SHOWN]}")
    if expected.live != found.live:
        told.append(f"{found.live} sessions are open instead of {expected.live}")
    return told


def _compared(name: str, expected: Effects, found: Effects) -> list[str]:
    missing = [(key, scores) for key, scores in expected.items() if len(found.get(key, ())) < len(scores)]
    surplus = [(key, scores) for key, scores in found.items() if len(expected.get(key, ())) < len(scores)]
    moved = [
        (key, scores, found[key])
        for key, scores in expected.items()
        if len(found.get(key, ())) == len(scores) and not _close(scores, found[key])
    ]
    return [
        f"{name}: {len(what)} {how}, such as {what[:SHOWN]}"
        for how, what in (("lost", missing), ("too many", surplus), ("scored otherwise", moved))
        if what
    ]


def _close(some: Sequence[float], others: Sequence[float]) -> bool:
    return all(math.isclose(a, b, rel_tol=0, abs_tol=SCORE_TOLERANCE) for a, b in zip(some, others, strict=True))


def _lines(answers: Sequence[Acknowledged], text: Mapping[int, str]) -> tuple[Effects, int]:
    found: dict[tuple[object, ...], list[float]] = {}
    twice = 0
    for answer in answers:
        for verdict in answer.body["verdicts"]:
            if verdict["index"] is None:
                continue
            key = (
                answer.batch.items[verdict["index"]], verdict["session"], verdict["anomalous"],
                text[verdict["template_id"]], verdict["novel"], verdict["state"],
                tuple(reason["detector"] for reason in verdict["reasons"]),
            )  # fmt: skip
            twice += key in found
            found[key] = [verdict["score"]]
    return found, twice


def _end(end: Mapping[str, Any]) -> tuple[object, ...]:
    detectors = tuple(reason["detector"] for reason in end["reasons"])
    return (
        end["session"], end["kind"], end["started"], end["last"], end["events"], end["anomalous"], end["state"],
        detectors,
    )  # fmt: skip


def _incident(one: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        one["session"], one["kind"], one["detector"], one["first_seen"], one["last_seen"], one["count"], one["state"],
    )  # fmt: skip


def _scored(pairs: Any) -> dict[tuple[object, ...], list[float]]:
    found: dict[tuple[object, ...], list[float]] = {}
    for key, score in pairs:
        found.setdefault(key, []).append(score)
    return {key: sorted(scores) for key, scores in found.items()}


async def _get(http: httpx.AsyncClient, path: str, **query: Any) -> dict[str, Any]:
    response = await http.get(path, params=query)
    assert response.status_code == 200, f"{path}: {response.status_code} {response.text[:300]}"
    return dict(response.json())


async def _pages(http: httpx.AsyncClient, path: str, field: str, place: str, source: str) -> Any:
    query: dict[str, Any] = {"source": source, "limit": PAGE}
    while True:
        page = await _get(http, path, **query)
        for one in page[field]:
            yield one
        if not page[field] or page["next"] is None:
            return
        query[place] = page["next"]
