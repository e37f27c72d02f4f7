"""One source as this replica serves it: its configuration, its copies of the template tree and of the feedback rules,
and the judge of a version.

Owns what a batch needs that is the same for every batch of a version. Does not talk to Redis.
"""

import asyncio
import logging
import math
from collections.abc import Iterator, Sequence

from models.autolog.judge import FrameJudge
from models.bundle import Bundle
from models.drift.reference import Reference
from models.errors import DataError
from models.judge import NO_RULES, Judge
from models.judging import Judged
from models.members.event import Observed
from models.parser import Parser
from models.rate.judge import RateJudge
from models.rules import Clause, Rule, Rules
from models.sample import warm
from models.sessions import SessionSettings
from models.source.config import Source
from models.template.tree import TemplateTree
from service.pipeline.seen import Seen
from service.state.rules import NOTHING, StoredRules

log = logging.getLogger("tocsin")

LEARNING_IDLE_S = 3600.0
"""Silence after which a session is over while no training has measured the source's gaps, seconds."""
LEARNING_TAIL = 10
"""History kept of a session while no detector says what it needs, keys."""


class LiveSource:
    """A source that this replica can process batches of. Used by one batch at a time."""

    def __init__(self, source: Source, tree: TemplateTree, bundle: Bundle | None, provider: str, threads: int) -> None:
        self.lock = asyncio.Lock()
        """Held by whoever parses or judges with this source: one batch or one sweep at a time."""
        self._provider = provider
        self._threads = threads
        self.parser = Parser(source, tree)
        self.problem: str | None = None
        """Why this replica could not follow the live version, None where it does."""
        self.version: str | None = None
        self.judge: Judge | None = None
        self.frame_judge: FrameJudge | None = None
        """What judges timeframes, None where nothing does."""
        self.rate_judge: RateJudge | None = None
        """What judges how many lines come, None where nothing does."""
        self.reference: Reference | None = None
        """What training looked like; None where the bundle, an older one, does not say."""
        self.settings = SessionSettings(
            LEARNING_TAIL, LEARNING_IDLE_S if source.idle_s is None else source.idle_s, source.lateness_s
        )
        self.stored_to = -math.inf
        """Largest event time whose rows are stored, seconds, until Redis is told, with the next batch or before the
        next sweep: that saves every batch a round trip."""
        self.given: StoredRules = NOTHING
        """The rules as read last."""
        self._rules = NO_RULES
        self._rules_tree = tree.tree_id
        if bundle is not None:
            self.activate(bundle)

    @property
    def name(self) -> str:
        """The source's name."""
        return self.source.name

    @property
    def source(self) -> Source:
        """The configuration that lines are parsed by."""
        return self.parser.source

    @property
    def tree(self) -> TemplateTree:
        """This replica's copy of the template tree."""
        return self.parser.tree

    @tree.setter
    def tree(self, tree: TemplateTree) -> None:
        self.parser = Parser(self.source, tree)

    @property
    def rules(self) -> Rules:
        """The rules as read last."""
        return self.rules_of(self.given)

    def rules_of(self, given: StoredRules) -> Rules:
        """``given`` as a judge takes them, which become those read last. Rules given under another template tree speak
        of other templates: they are left out."""
        if given is not self.given or self._rules_tree != self.tree.tree_id:
            self.given = given
            self._rules_tree = self.tree.tree_id
            self._rules = Rules(self._own(given))
        return self._rules

    def _own(self, given: StoredRules) -> Iterator[Rule]:
        for name, rule in given.rules.items():
            if rule["tree"] == self._rules_tree:
                try:
                    yield Rule(name, tuple(Clause.from_dict(clause) for clause in rule["clauses"]), rule["expires"])
                except DataError as error:  # of a newer version of Tocsin: what it silences there, rings here
                    log.warning("rule %s of source %s is left out: %s", name, self.name, error)

    @property
    def provider(self) -> str:
        """Where networks run: ``cuda`` or ``cpu``."""
        return "cpu" if self.judge is None else self.judge.provider

    def activate(self, bundle: Bundle) -> None:
        """Judge by another version from the next batch on."""
        self.judge = bundle.judge(self._provider, self._threads, self.exemplar_of)
        warm(self.judge, bundle.files)
        self.frame_judge = bundle.frame_judge(self._provider, self._threads)
        self.rate_judge = bundle.rate_judge()
        self.parser = Parser(bundle.source, self.tree)
        self.settings = bundle.manifest.session
        told = bundle.manifest.metrics.get("reference")
        self.reference = None if told is None else Reference.from_dict(told)
        self.version = bundle.version
        self.problem = None

    def seen(self, judge: Judge, rows: Observed, judged: Judged, rules: Rules, now: float) -> Seen:
        """A batch that ``judge``, this source's, has judged at ``now`` in seconds, for those who look on."""
        assert self.version is not None
        tail = self.settings.tail
        return Seen(self.name, self.version, self.tree.tree_id, judge, tail, rows, judged, rules, now)

    def told(self, stored_to: float) -> None:
        """Redis knows that rows up to ``stored_to`` seconds are stored."""
        if self.stored_to == stored_to:
            self.stored_to = -math.inf

    def text_of(self, template_id: int) -> str:
        """Text of a template."""
        return self.tree.template(template_id).text

    def exemplar_of(self, template_id: int) -> str:
        """Masked message that a template was made from."""
        return self.tree.template(template_id).exemplar

    def tokens_of(self, template_id: int) -> Sequence[str]:
        """Tokens of a template as they are now."""
        return self.tree.template(template_id).tokens
