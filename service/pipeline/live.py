"""One source as this replica serves it: its configuration, its copy of the template tree, and the judge of a version.

Owns what a batch needs that is the same for every batch of a version. Does not talk to Redis.
"""

import asyncio

from models.bundle import Bundle
from models.judge import Judge
from models.parser import Parser
from models.sessions import SessionSettings
from models.source.config import Source
from models.template.tree import TemplateTree

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
        self.settings = SessionSettings(
            LEARNING_TAIL, LEARNING_IDLE_S if source.idle_s is None else source.idle_s, source.lateness_s
        )
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
    def provider(self) -> str:
        """Where networks run: ``cuda`` or ``cpu``."""
        return "cpu" if self.judge is None else self.judge.provider

    def activate(self, bundle: Bundle) -> None:
        """Judge by another version from the next batch on."""
        self.judge = bundle.judge(self._provider, self._threads)
        self.parser = Parser(bundle.source, self.tree)
        self.settings = bundle.manifest.session
        self.version = bundle.version
        self.problem = None

    def text_of(self, template_id: int) -> str:
        """Text of a template."""
        return self.tree.template(template_id).text
