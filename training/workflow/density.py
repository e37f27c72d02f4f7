"""Density clustering: steps and their relations from how often keys come near each other (DeepLog, section 4.3).

The paper's p_d(i, j) counts pairs within a distance d and divides by d, so that its rows add to one; but then no key
that is not next could ever pass tau (in a chain a b c, p_2(a, c) is 1/2). What tau bounds here is the share of the
occurrences of i that have a j within d events after them: the same for d = 1, and one for every pair of a chain.

Owns the shares, the chains that grow from them, and which step a key is. Does not know what is made of them.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from models.sessions import BEFORE_SESSION
from models.vocabulary import END
from training.workflow.evidence import Step, Variant
from training.workflow.settings import WorkflowSettings

Chain = tuple[int, ...]


class Shares:
    """How often one key is followed by another within a distance."""

    def __init__(self, sessions: Sequence[Variant], distance: int) -> None:
        """Counts pairs of keys up to ``distance`` events apart."""
        self.count: Counter[int] = Counter()
        self._distance = distance
        self._nearest: dict[tuple[int, int], list[int]] = {}
        """By pair, how often the second first came exactly 1, 2, ... events after the first."""
        self._followers: dict[int, set[int]] = {}
        self._leaders: dict[int, set[int]] = {}
        for variant in sessions:
            for place, key in enumerate(variant.keys):
                self.count[key] += variant.count
                met: set[int] = set()
                for apart, other in enumerate(variant.keys[place + 1 : place + 1 + distance]):
                    if other not in met:
                        met.add(other)
                        self._nearest.setdefault((key, other), [0] * distance)[apart] += variant.count
        for key, other in self._nearest:
            self._followers.setdefault(key, set()).add(other)
            self._leaders.setdefault(other, set()).add(key)

    def share(self, distance: int, key: int, other: int) -> float:
        """Share of the occurrences of ``key`` with an ``other`` at most ``distance`` events after."""
        nearest = self._nearest.get((key, other))
        return 0.0 if nearest is None else sum(nearest[:distance]) / self.count[key]

    def followers(self, key: int) -> set[int]:
        """What ever came within the distance after ``key``."""
        return self._followers.get(key, set())

    def leaders(self, key: int) -> set[int]:
        """What ever came within the distance before ``key``."""
        return self._leaders.get(key, set())


def grow(shares: Shares, certain: float, distance: int) -> list[Chain]:
    """Chains of keys of which each has every later one behind it, within ``distance`` events, in more than ``certain``
    of its occurrences; grown at the tail and then at the head, those within others dropped, the longest first."""
    chains: set[Chain] = set()
    for key in sorted(shares.count, key=lambda key: (-shares.count[key], key)):
        nexts = [other for other in shares.followers(key) if other != key and shares.share(1, key, other) > certain]
        if not nexts:
            continue
        chain = [key, max(nexts, key=lambda other: (shares.share(1, key, other), -other))]

        def behind(new: int, members: Sequence[int]) -> float:
            near = members[-distance:]
            return min(shares.share(len(near) - place, member, new) for place, member in enumerate(near))

        def before(new: int, members: Sequence[int]) -> float:
            return min(shares.share(place + 1, new, member) for place, member in enumerate(members[:distance]))

        while new := _best({key: behind(key, chain) for key in shares.followers(chain[-1]) - {*chain}}, certain):
            chain += new
        while new := _best({key: before(key, chain) for key in shares.leaders(chain[0]) - {*chain}}, certain):
            chain[:0] = new
        chains.add(tuple(chain))
    kept: list[Chain] = []
    for grown in sorted(chains, key=lambda grown: (-len(grown), grown)):
        if not any(_within(grown, other) for other in kept):
            kept.append(grown)
    return kept


class DensityEvidence:
    """Steps and relations as density clustering sees them: a key in a chain is one step, elsewhere another."""

    def __init__(self, sessions: Sequence[Variant], settings: WorkflowSettings) -> None:
        self._settings = settings
        self.chains = grow(Shares(sessions, settings.distance), settings.certain, settings.distance)
        """Keys that follow each other with certainty, the longest chains first."""
        self._heads: dict[int, int] = {}
        for number, chain in enumerate(self.chains):
            self._heads.setdefault(chain[0], number)
        self._count: Counter[Step] = Counter()
        self._first: Counter[tuple[Step, int]] = Counter()
        self._second: Counter[tuple[Step, int]] = Counter()
        """Keys that came first or, if it was another one, second after a step."""
        self._beyond: dict[tuple[Step, int], Counter[int]] = {}
        for variant in sessions:
            steps = [(BEFORE_SESSION,), *self.steps(variant.keys)]
            keys = (*variant.keys, END)
            for step, first, second in zip(steps, keys, (*keys[1:], END), strict=True):
                self._count[step] += variant.count
                self._first[step, first] += variant.count
                if second != first:
                    self._second[step, second] += variant.count
                self._beyond.setdefault((step, first), Counter())[second] += variant.count

    def steps(self, keys: tuple[int, ...]) -> list[Step]:
        """The step that each key is: its place in a chain that was begun at most a few events ago, or itself.

        A chain goes on where it is, or from an earlier place if the session repeats a part of it.
        """
        found: list[Step] = []
        running: list[_Running] = []
        for now, key in enumerate(keys):
            running = [run for run in running if now - run.at <= self._settings.distance]
            run = next((run for run in reversed(running) if self._goes_on(run, key)), None)
            if run is None and key in self._heads:
                run = _Running(self._heads[key], 0, now)
                running.append(run)
            if run is None:
                run = next((run for run in reversed(running) if self._repeats(run, keys[now : now + 2])), None)
            if run is None:
                found.append((key,))
                continue
            found.append((key, run.chain, run.next))
            run.next, run.at = run.next + 1, now
        return found

    def _goes_on(self, run: "_Running", key: int) -> bool:
        chain = self.chains[run.chain]
        return run.next < len(chain) and chain[run.next] == key

    def _repeats(self, run: "_Running", ahead: tuple[int, ...]) -> bool:
        """Whether the next keys are an earlier part of the chain, or its last key again; if so the chain goes back."""
        done = self.chains[run.chain][: run.next]
        if ahead[0] not in done:
            return False
        place = done.index(ahead[0])
        repeated = done[place : place + 2]
        if len(repeated) == 2 and repeated != ahead:
            return False
        run.next = place
        return True

    def certain(self, step: Step, key: int, own: Collection[int]) -> bool:
        beyond = self._beyond.get((step, key), Counter())
        return sum(beyond[key] for key in own) >= self._settings.certain * beyond.total() > 0

    def concurrent(self, step: Step, one: int, other: int) -> bool:
        """The paper's test p_2 > p_1 of both keys: each also comes second."""
        return all(self._second[step, key] > 0 for key in (one, other))


@dataclass(slots=True)
class _Running:
    """A chain that a session is in: which one, its next place, and when it last moved."""

    chain: int
    next: int
    at: int


def _best(shares: dict[int, float], certain: float) -> list[int]:
    """The key with the largest share, alone in a list, if that is above ``certain``; else nothing."""
    found = sorted((key for key, share in shares.items() if share > certain), key=lambda key: (-shares[key], key))
    return found[:1]


def _within(chain: Chain, other: Chain) -> bool:
    """Whether a chain is a sub-sequence of another."""
    rest = iter(other)
    return all(key in rest for key in chain)
