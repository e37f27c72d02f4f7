"""Labelled texts that go into the bundle, for rehearsal when the head is fine-tuned later.

Owns the file's form and its bound. Does not know networks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import orjson

from models.errors import BundleError
from models.sessions import Bool, Int64

REPLAY = "cldtlog.replay.json"
STATE = "cldtlog.json"
MOST = 300
"""Texts of each class: of 512 characters at most, so 300 KB in the worst case, some 30 KB of ordinary ones; embedding
them takes two seconds."""
LARGEST = 200_000
"""Bytes kept at most."""


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """k distinct prepared ``texts``, which of them count as ``anomalous`` bool [k], and in how many training sessions
    (or lines) of its class each stood, ``count`` int64 [k]."""

    texts: Sequence[str]
    anomalous: Bool
    count: Int64

    @classmethod
    def sample(cls, texts: Sequence[str], telling: Bool, normal: Int64, anomalous: Int64) -> Self:
        """The most frequent of t texts of each class; ``telling`` bool [t] says to which one counts, ``normal`` and
        ``anomalous`` int64 [t] in how many sessions of either it stood."""
        count = np.where(telling, anomalous, normal)
        order = np.argsort(-count, kind="stable")
        kept = np.sort(np.concatenate([order[telling[order] == label][:MOST] for label in (False, True)]))
        return cls([texts[row] for row in kept.tolist()], telling[kept], count[kept])

    def with_lessons(self, texts: Mapping[str, bool]) -> "Rehearsed":
        """These and what people said of ``texts`` (text -> anomalous), which takes the place of what was known."""
        kept = [row for row, text in enumerate(self.texts) if text not in texts]
        fresh = np.array(list(texts.values()), dtype=np.bool_)
        return Rehearsed(
            [*(self.texts[row] for row in kept), *texts],
            np.concatenate([self.anomalous[kept], fresh]),
            np.concatenate([self.count[kept], np.ones(len(fresh), dtype=np.int64)]),
        )

    def to_json(self) -> bytes:
        """Plain JSON; of too many texts the last ones."""
        first, size = len(self.texts), 0
        while first and size + len(self.texts[first - 1].encode()) + 24 <= LARGEST:
            first -= 1
            size += len(self.texts[first].encode()) + 24
        return orjson.dumps({
            "texts": list(self.texts[first:]),
            "anomalous": self.anomalous[first:].tolist(),
            "count": self.count[first:].tolist(),
        })  # fmt: skip


def read_rehearsed(files: Mapping[str, bytes]) -> Rehearsed:
    """Those of a bundle; of one made before they were kept, the texts by which it explains. Raises BundleError where
    they are damaged."""
    name = REPLAY if REPLAY in files else STATE
    try:
        state = orjson.loads(files[name])
        if name == STATE:
            state = dict(_of_exemplars(state["exemplars"]))
        texts = [str(text) for text in state["texts"]]
        anomalous, count = np.array(state["anomalous"], dtype=np.bool_), np.array(state["count"], dtype=np.int64)
    except KeyError as error:
        raise BundleError(f"cldtlog: the bundle's parts lack {error}; restore it or train it again") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise BundleError(f"cldtlog: {name} is damaged ({error}); restore the bundle") from error
    if not anomalous.shape == count.shape == (len(texts),):
        raise BundleError(f"cldtlog: {name} is damaged (texts and labels differ in number); restore the bundle")
    return Rehearsed(texts, anomalous, count)


def _of_exemplars(exemplars: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, Sequence[object]]]:
    yield "texts", exemplars["texts"]
    yield "anomalous", exemplars["telling"]
    counts = zip(exemplars["telling"], exemplars["anomalous"], exemplars["normal"], strict=True)
    yield "count", [anomalous if telling else normal for telling, anomalous, normal in counts]
