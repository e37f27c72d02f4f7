"""Sessions (or lines) as bags of distinct texts: what CLDTLog learns from and is held to.

Owns the way from a corpus to bags, and the folding of equal ones. Does not know networks. A line with its own label
is a bag of one text; a session is a bag of all its texts and as anomalous as the strangest of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl

from models.cldtlog.words import prepared
from models.errors import DataError
from models.sessions import Bool, Float64, Int64
from training.member import Corpus

TELLING = 2.0
"""Below twice, a text says hardly more of a session than chance does."""


@dataclass(frozen=True, slots=True)
class Bags:
    """n sessions, folded into distinct bags.

    ``texts``: t distinct prepared texts; ``members``: b distinct bags, each int64 [1..t] of places in ``texts``,
    ascending; ``bag`` int64 [n]: which of them each session is, -1 for one without a word; ``anomalous`` bool [n].
    """

    texts: list[str]
    members: list[Int64]
    bag: Int64
    anomalous: Bool

    def __len__(self) -> int:
        return len(self.bag)

    def counts(self, chosen: Int64, anomalous: bool) -> Int64:
        """How often each distinct bag is among the sessions ``chosen`` int64 [m] of one class; int64 [b]."""
        mine = chosen[(self.anomalous[chosen] == anomalous) & (self.bag[chosen] >= 0)]
        return np.bincount(self.bag[mine], minlength=len(self.members)).astype(np.int64)

    def text_counts(self, chosen: Int64, anomalous: bool) -> Int64:
        """In how many of the sessions ``chosen`` int64 [m] of one class each text stands; int64 [t]."""
        found = np.zeros(len(self.texts), dtype=np.int64)
        for members, count in zip(self.members, self.counts(chosen, anomalous).tolist(), strict=True):
            found[members] += count
        return found

    def telling(self, chosen: Int64) -> Bool:
        """Which texts stand in ``TELLING`` times as large a share of the anomalous sessions among ``chosen`` int64 [m]
        as of the normal ones; bool [t]. Sessions have labels, their texts have none: this is the best guess."""
        anomalous = int(self.anomalous[chosen].sum())
        normal = len(chosen) - anomalous
        share = self.text_counts(chosen, True) / max(1, anomalous)
        return np.asarray((share > 0) & (share >= TELLING * self.text_counts(chosen, False) / max(1, normal)))

    def raws(self, logits: Float64) -> Float64:
        """The largest of its texts' ``logits`` float64 [t] for each session, float64 [n]; NaN without a word."""
        largest = np.array([logits[members].max() for members in self.members] + [np.nan], dtype=np.float64)
        return largest[self.bag]

    def thinned(self, most: int, seed: int) -> Int64:
        """Numbers of the sessions to keep, ascending, so that they hold at most ``most`` distinct texts: the anomalous
        ones first, each class in an order that ``seed`` draws. All of them where the texts are few enough."""
        if len(self.texts) <= most:
            return np.arange(len(self))
        order = np.random.default_rng(seed).permutation(len(self.members))
        first = self.counts(np.arange(len(self)), True)[order] > 0
        held: set[int] = set()
        kept = np.zeros(len(self.members) + 1, dtype=np.bool_)
        for number in np.concatenate([order[first], order[~first]]).tolist():
            more = held.union(self.members[number].tolist())
            if len(more) <= most:
                held, kept[number] = more, True
        return np.flatnonzero(kept[self.bag])

    def only(self, chosen: Int64) -> Self:
        """The sessions ``chosen`` int64 [m] with their texts alone."""
        bags, place = np.unique(self.bag[chosen], return_inverse=True)
        offset = int(bags[0] < 0) if len(bags) else 0
        used = [self.members[number] for number in bags[offset:].tolist()]
        texts = np.unique(np.concatenate(used)) if used else np.empty(0, dtype=np.int64)
        members = [np.searchsorted(texts, own) for own in used]
        return type(self)([self.texts[t] for t in texts.tolist()], members, place - offset, self.anomalous[chosen])


def bags_of_lines(masked: Sequence[str], anomalous: Sequence[bool] | Bool) -> Bags:
    """Lines with a label each. Raises DataError where there is not one label for each line."""
    labels = np.asarray(anomalous, dtype=np.bool_)
    if labels.shape != (len(masked),):
        raise DataError(f"cldtlog: {labels.size} labels for {len(masked)} lines; give one for each")
    texts, place = _distinct(pl.Series(list(masked), dtype=pl.String))
    return Bags(texts, [np.array([number], dtype=np.int64) for number in range(len(texts))], place, labels)


def bags_of(corpus: Corpus) -> Bags:
    """The sessions of a corpus, the normal ones first, in its order. Raises DataError where only keys are known."""
    records, _ = corpus.lines("cldtlog")
    texts, place = _distinct(records.masked)
    sessions = [*corpus.sessions, *corpus.anomalous]
    found: dict[bytes, int] = {}
    members: list[Int64] = []
    bag = np.full(len(sessions), -1, dtype=np.int64)
    for number, session in enumerate(sessions):
        own = np.unique(place[session.records])
        own = own[own >= 0]
        if not len(own):
            continue
        bag[number] = found.setdefault(own.tobytes(), len(members))
        if bag[number] == len(members):
            members.append(own)
    anomalous = np.arange(len(sessions)) >= len(corpus.sessions)
    # The log may hold more texts than these sessions do.
    return Bags(texts, members, bag, anomalous).only(np.arange(len(sessions)))


def _distinct(masked: pl.Series) -> tuple[list[str], Int64]:
    """Distinct prepared texts, and for each message its place among them, -1 where it has no word."""
    messages = masked.unique(maintain_order=True)
    words = [prepared(message) for message in messages.to_list()]
    texts = {text: place for place, text in enumerate(dict.fromkeys(text for text in words if text))}
    place = np.array([texts.get(text, -1) for text in words], dtype=np.int64)
    of_message = masked.cast(pl.Enum(messages)).to_physical().to_numpy()
    return list(texts), place[of_message.astype(np.int64)]
