"""The learner in a simulation: rounds over what a team answered, between two batches of a replay.

Owns when a round begins, and its order, which is that of ``service.learner``: what is new is taught, the gate judges by
what was replayed so far, what passes goes live, and rules that it covers are retired. Does not know where answers and
traffic come from. As there, an answer that was left or turned back is tried again with the next one.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from models.bundle import Bundle
from models.bundles import next_version
from models.errors import BundleError, DataError
from models.rules import Rule
from models.spool.reader import Spooled
from models.template.tree import TemplateTree
from training.desk import Desk
from training.learning.answers import Answer
from training.learning.candidate import LESSONS, Candidate, Version, learn
from training.learning.coverage import covered
from training.learning.gate import judge_candidate
from training.learning.sealing import with_gate


@dataclass(frozen=True, slots=True)
class Round:
    """What one round before line ``line`` came to. ``state``: ``published``, ``rejected``, or ``settled`` where nothing
    could be learned, then without a ``version``; ``learned`` are the answers that the candidate quiets, ``left`` those
    that it does not, ``retired`` those whose rules went, ``reasons`` why not."""

    line: int
    state: str
    version: str | None = None
    learned: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


class SimulatedLearner:
    """Learns of one replay, ``gather`` lines after something new was answered; ``live`` is the version that judges."""

    def __init__(self, live: Bundle, gather: int, *, seed: int = 0) -> None:
        """Raises DataError where ``gather`` is negative."""
        if gather < 0:
            raise DataError(f"{gather} lines to gather answers: a version cannot be there before them")
        self.live = live
        self.rounds: list[Round] = []
        self._gather = gather
        self._seed = seed
        self._versions = [live.version]
        self._taken: set[str] = set()
        self._since: int | None = None

    def due(self, desk: Desk, line: int) -> bool:
        """Whether an answer that no round took has waited long enough when line ``line`` comes next."""
        if all(answer.id in self._taken for answer, _ in desk.lessons()):
            return False
        self._since = line if self._since is None else self._since
        return line - self._since >= self._gather

    def round(self, desk: Desk, tree: TemplateTree, traffic: Spooled, line: int) -> bool:
        """Learn what stands at ``desk`` before line ``line``, with the template ``tree`` and the ``traffic`` of the
        lines before it; whether another version is live from there on."""
        standing = desk.lessons()
        self._since, self._taken = None, {answer.id for answer, _ in standing}
        known = self._known(self.live)
        fresh = [answer for answer, _ in standing if answer.id not in known]
        without: frozenset[str] = frozenset()
        while True:
            # No clock: a replay is the same whenever it runs.
            name = Version(next_version(self._versions), self.live.manifest.created, tree.snapshot())
            try:
                candidate = learn(self.live, fresh, name, spooled=traffic, seed=self._seed, without=without)
            except (BundleError, DataError) as error:
                self.rounds.append(Round(line, "settled", left=_ids(fresh), reasons=(str(error),)))
                return False
            if candidate is None or not candidate.learned:
                if not without:
                    self.rounds.append(Round(line, "settled", left=_ids(fresh)))
                return False
            if self._publish(candidate, desk, standing, traffic, line):
                return True
            if without or not candidate.networks:
                return False
            without = candidate.networks

    def _publish(
        self,
        candidate: Candidate,
        desk: Desk,
        standing: Sequence[tuple[Answer, Rule | None]],
        traffic: Spooled,
        line: int,
    ) -> bool:
        names = self._known(self.live) | set(_ids(candidate.learned))
        alarms = [answer for answer, _ in standing if answer.id in names]
        gate = judge_candidate(self.live, candidate.bundle, alarms, traffic)
        sealed = with_gate(candidate.bundle, gate)
        self._versions.append(sealed.version)
        told = sealed.version, _ids(candidate.learned), _ids(candidate.left)
        if not gate.passed:
            self.rounds.append(Round(line, "rejected", *told, reasons=gate.reasons))
            return False
        ruled = [(answer, rule) for answer, rule in standing if answer.id in names and rule is not None]
        retired = _ids(covered(self.live, sealed, ruled, traffic))
        desk.retire(retired)
        self.live = sealed
        self.rounds.append(Round(line, "published", *told, retired=retired))
        return True

    @staticmethod
    def _known(bundle: Bundle) -> set[str]:
        return set(bundle.manifest.provenance.get(LESSONS, ()))


def _ids(answers: Sequence[Answer]) -> tuple[str, ...]:
    return tuple(answer.id for answer in answers)
