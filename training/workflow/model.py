"""The model-based way: steps and their relations from a key model's conditional probabilities (DeepLog, section 4.2).

A key is one step where the model is certain what follows it. Where it diverges, ever longer contexts are tried: those
that make it certain of the same next key are one step; what stays open in the longest context is divided by which next
keys are possible. The model always sees its full window; its answer for a shorter context is the mean of its answers
for all windows that end so, weighted by how often they came.

Owns these steps. Does not know what is made of them.
"""

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from models.rows import unique_rows
from models.sessions import BEFORE_SESSION, Int64
from models.vocabulary import END
from training.progress import Progress, silent
from training.windows import windows
from training.workflow.evidence import Step, Variant
from training.workflow.folding import Context, contexts
from training.workflow.scorer import NextProbabilities
from training.workflow.settings import WorkflowSettings

Distribution = dict[int, float]
"""Probabilities by next key, the improbable ones left out."""

_BATCH = 4096
_LEAST = 0.01
"""Probabilities below are not kept: a network gives every key a little."""
_STEADY = 0.8
"""Share of its probability that a concurrent key keeps once the other one came. The paper says that it rises; where two
chains of several keys interleave it stays as it was."""


class ModelEvidence:
    """Steps and relations as a key model sees them."""

    def __init__(
        self,
        sessions: Sequence[Variant],
        next_probabilities: NextProbabilities,
        settings: WorkflowSettings,
        progress: Progress = silent,
    ) -> None:
        self._settings = settings
        self._steps: dict[Context, Step] = {}
        positions = _positions(sessions, next_probabilities, settings, progress)
        gathered: dict[Context, _Mean] = {}
        for number, context, after in positions:
            gathered.setdefault(context, _Mean()).add(after, sessions[number].count)
        self._divide(gathered)
        self._after: dict[Step, _Mean] = {}
        self._beyond: dict[tuple[Step, int], _Mean] = {}
        previous: Step | None = None
        for number, context, after in positions:
            count, step = sessions[number].count, self._step(context)
            self._after.setdefault(step, _Mean()).add(after, count)
            if context != (BEFORE_SESSION,) and previous is not None:
                self._beyond.setdefault((previous, context[-1]), _Mean()).add(after, count)
            previous = step

    def steps(self, keys: tuple[int, ...]) -> list[Step]:
        """The step that each key is; one in a context that training did not see is told by its key alone."""
        given = contexts(keys, self._settings.longest, self._settings.fragment)
        return [self._step(context) for context in given][1:]

    def certain(self, step: Step, key: int, own: Collection[int]) -> bool:
        beyond = self._beyond.get((step, key))
        if beyond is None:
            return False
        return sum(share for key, share in beyond.shares().items() if key in own) >= self._settings.certain

    def concurrent(self, step: Step, one: int, other: int) -> bool:
        after = self._after[step].shares()
        return all(
            self._beyond[step, first].shares().get(second, 0.0) >= _STEADY * after.get(second, 0.0) > 0.0
            if (step, first) in self._beyond
            else False
            for first, second in ((one, other), (other, one))
        )

    def _step(self, context: Context) -> Step:
        return self._steps.get(context, (context[-1],))

    def _divide(self, gathered: dict[Context, "_Mean"]) -> None:
        """Name the step of every context: ``(key, certain next key)``, or ``(key, least of the possible next keys,
        how many they are)``, or the key alone where all its contexts are one step."""
        settings = self._settings
        by_key: dict[int, list[Context]] = {}
        for context in gathered:
            by_key.setdefault(context[-1], []).append(context)
        for key, own in by_key.items():
            named: dict[Context, Step] = {}
            open_ones = own
            for length in range(1, settings.longest + 1):
                still_open: list[Context] = []
                for alike in _alike(open_ones, length).values():
                    mean = _Mean.of(gathered[context] for context in alike)
                    following, share = mean.likeliest()
                    if share >= settings.certain and (length == 1 or mean.weight >= settings.support):
                        named.update(dict.fromkeys(alike, (key, following)))
                    else:
                        still_open += alike
                open_ones = still_open
            for group in self._overlapping(open_ones, gathered):
                possible = self._possible(group, gathered)
                named.update(dict.fromkeys(group, (key, min(possible, default=END), len(possible))))
            alone = len(set(named.values())) == 1
            self._steps.update(dict.fromkeys(own, (key,)) if alone else named)

    def _overlapping(self, open_ones: list[Context], gathered: dict[Context, "_Mean"]) -> list[list[Context]]:
        """Contexts in groups that share a possible next key, directly or by way of others."""
        groups: list[tuple[set[int], list[Context]]] = []
        for context in open_ones:
            possible, members = set(self._possible([context], gathered)), [context]
            apart = []
            for keys, group in groups:
                if keys & possible:
                    possible |= keys
                    members = group + members
                else:
                    apart.append((keys, group))
            groups = [*apart, (possible, members)]
        return [members for _, members in groups]

    def _possible(self, group: list[Context], gathered: dict[Context, "_Mean"]) -> list[int]:
        shares = _Mean.of(gathered[context] for context in group).shares()
        return [key for key, share in shares.items() if share >= self._settings.rare]


class _Mean:
    """The mean of distributions, by weight."""

    def __init__(self) -> None:
        self.weight = 0
        self._sums: Distribution = {}

    @classmethod
    def of(cls, parts: Iterable["_Mean"]) -> "_Mean":
        mean = cls()
        for part in parts:
            mean.weight += part.weight
            for key, total in part._sums.items():
                mean._sums[key] = mean._sums.get(key, 0.0) + total
        return mean

    def add(self, distribution: Distribution, weight: int) -> None:
        self.weight += weight
        for key, share in distribution.items():
            self._sums[key] = self._sums.get(key, 0.0) + weight * share

    def shares(self) -> Distribution:
        return {key: total / self.weight for key, total in self._sums.items()}

    def likeliest(self) -> tuple[int, float]:
        """The most probable key and its probability; the end where nothing is probable."""
        key, total = max(self._sums.items(), key=lambda item: (item[1], -item[0]), default=(END, 0.0))
        return key, total / max(self.weight, 1)


def _alike(given: list[Context], length: int) -> dict[Context, list[Context]]:
    """Contexts by their newest ``length`` keys."""
    found: dict[Context, list[Context]] = {}
    for context in given:
        found.setdefault(context[-length:], []).append(context)
    return found


def _positions(
    sessions: Sequence[Variant], model: NextProbabilities, settings: WorkflowSettings, progress: Progress
) -> list[tuple[int, Context, Distribution]]:
    """(session, folded context, what the model expects next), from each session's start to its last event; those whose
    windows are not among the most frequent left out."""
    given = windows([np.array(variant.keys, dtype=np.int64) for variant in sessions], model.window)
    first, inverse = unique_rows(given.history - min(END, BEFORE_SESSION))
    weight = np.bincount(inverse, weights=np.array([variant.count for variant in sessions])[given.session])
    asked = np.sort(np.argsort(-weight, kind="stable")[: settings.windows])
    answers: list[Distribution | None] = [None] * len(first)
    for start in range(0, len(asked), _BATCH):
        part = asked[start : start + _BATCH]
        for window, answer in zip(part.tolist(), _answers(model, given.history[first[part]]), strict=True):
            answers[window] = answer
        progress("workflow: ask the model", min(start + _BATCH, len(asked)), len(asked))
    found: list[tuple[int, Context, Distribution]] = []
    at = iter(inverse.tolist())
    for number, variant in enumerate(sessions):
        for context in contexts(variant.keys, settings.longest, settings.fragment):
            answer = answers[next(at)]
            if answer is not None:
                found.append((number, context, answer))
    return found


def _answers(model: NextProbabilities, history: Int64) -> list[Distribution]:
    probabilities = model(history)
    found: list[Distribution] = [{} for _ in range(len(history))]
    rows, columns = np.nonzero(probabilities >= _LEAST)
    for row, key, share in zip(
        rows.tolist(), model.keys[columns].tolist(), probabilities[rows, columns].tolist(), strict=True
    ):
        found[row][key] = share
    return found
