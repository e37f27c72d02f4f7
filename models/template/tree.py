"""The template tree of one source: stable ids for masked messages, mined as they come.

Owns ids, versions, caps, which widening is refused, and how replicas come to hold the same tree. Does not know Redis,
locks, the clock, nor raw lines: it takes messages after masking, and how many new ids a minute still allows.

One thread at a time: ``match`` remembers what it found, so even readers must not run beside each other.

How replicas share a tree:
1. ``match`` the batch; where nothing is ``NO_TEMPLATE``, done.
2. Under the source's lock: ``apply`` the changes that others published since ``version``, then ``assign`` the whole
   batch and publish its changes by compare-and-set on the version they start from.
3. Where publishing failed: ``rollback`` to that version; nothing of the attempt remains, the ids neither.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from models.errors import TemplateError
from models.record import Distinct
from models.source.config import DrainSettings
from models.template.change import (
    NO_TEMPLATE,
    OVERFLOW,
    OVERFLOW_TEMPLATE,
    Assignment,
    Change,
    Int64,
    Template,
    check_tokens,
)
from models.template.learning import Batch
from models.template.search import Search
from models.template.seen import Seen
from models.template.tokens import tokenize

FORMAT = 1
"""Of ``snapshot``; a newer one is refused."""

SEEN_CAPACITY = 100_000
"""Masked messages remembered; about 20 MB where they are of ordinary length."""


class TemplateTree:
    """Templates with ids 1, 2, ... in the order in which they were made; ids are never reused.

    What once matched a template always matches one, and a template's exemplar always matches that template.
    """

    def __init__(self, settings: DrainSettings, tree_id: str) -> None:
        self.settings = settings
        self.tree_id = tree_id
        self._templates: list[Template] = []
        self._base_version = 0
        self._journal: list[tuple[Change, Template | None]] = []
        """Changes since the base version, each with the template as it was before."""
        self._search = Search(settings)
        self._seen = Seen(SEEN_CAPACITY)
        self._exemplars = Seen()

    def __len__(self) -> int:
        return len(self._templates)

    @property
    def version(self) -> int:
        """Number of changes since the tree was begun, by whichever replica."""
        return self._base_version + len(self._journal)

    def template(self, template_id: int) -> Template:
        """The template with this id; 0 is the overflow template. TemplateError where there is none."""
        if template_id == OVERFLOW:
            return OVERFLOW_TEMPLATE
        if not 0 < template_id <= len(self._templates):
            raise TemplateError(
                f"tree {self.tree_id} at version {self.version} has no template {template_id}: "
                "apply newer changes first"
            )
        return self._templates[template_id - 1]

    def texts(self) -> dict[int, str]:
        """Text of each template by id, the overflow template left out."""
        return {template.id: template.text for template in self._templates}

    def match(self, masked: Sequence[str] | pl.Series, distinct: Distinct | None = None) -> Int64:
        """Template ids of n masked messages, int64 [n]; NO_TEMPLATE where nothing matches. Learns nothing.
        ``distinct``: the same messages, where somebody told them apart."""
        if distinct is not None:
            of_each: Int64 = self.match(distinct.messages)[distinct.code]
            return of_each
        messages = _listed(masked)
        get = self._seen.ids.get
        ids = np.fromiter([get(message, NO_TEMPLATE) for message in messages], dtype=np.int64, count=len(messages))
        unseen: dict[str, int] = {}
        for line in np.flatnonzero(ids == NO_TEMPLATE).tolist():
            message = messages[line]
            found = unseen.get(message)
            if found is None:
                found = unseen[message] = self._match_one(message)
            ids[line] = found
        return ids

    def assign(
        self,
        masked: Sequence[str] | pl.Series,
        minute_budget: int | None = None,
        distinct: Distinct | None = None,
    ) -> Assignment:
        """Template ids of n masked messages, learning from those that nothing matches.

        Exactly what one line after the other would give: a line before a change keeps the id of its time.
        ``minute_budget``: so many new ids may be made in this call (None: as many as the tree takes); beyond it and
        beyond ``settings.max_templates`` a message gets ``OVERFLOW``, and nothing is learned from it.
        """
        before = self.version
        ids = self.match(masked, distinct)
        if len(ids) and ids.min() == NO_TEMPLATE:
            ids = Batch(_listed(masked), ids, self._match_one, self._learn_one).run(minute_budget)
        changes = [change for change, _ in self._journal[before - self._base_version :]]
        return Assignment(ids, changes, int((ids == OVERFLOW).sum()))

    def apply(self, changes: Iterable[Change], tree_id: str | None = None) -> None:
        """Catch up with changes that another replica published, in the order of their versions.

        Those of versions already held are skipped. TemplateError where one is missing or they are another tree's; what
        came before the offending change stays applied.
        """
        if tree_id is not None and tree_id != self.tree_id:
            raise TemplateError(f"changes of tree {tree_id} offered to tree {self.tree_id}: restore that tree first")
        for change in changes:
            if change.version > self.version + 1:
                raise TemplateError(
                    f"tree {self.tree_id} is at version {self.version} and was given change {change.version}: "
                    "fetch the changes between, or restore from a snapshot"
                )
            if change.version == self.version + 1:
                self._check(change)
                self._change(change)
            elif change.version > self._base_version:
                held, _ = self._journal[change.version - self._base_version - 1]
                if held != change:
                    raise TemplateError(
                        f"change {change.version} is not the one that tree {self.tree_id} has under this version: "
                        "they are another tree's; restore from a snapshot"
                    )

    def changes_since(self, version: int) -> list[Change]:
        """The changes after ``version``; TemplateError where they began before this tree was restored."""
        self._check_held(version)
        return [change for change, _ in self._journal[version - self._base_version :]]

    def rollback(self, version: int) -> None:
        """Undo all changes after ``version``, which were published nowhere; their ids are free again."""
        self._check_held(version)
        if version == self.version:
            return
        while self.version > version:
            change, before = self._journal.pop()
            if before is None:
                self._templates.pop()
            else:
                self._templates[change.id - 1] = before
        self._index()

    def snapshot(self) -> dict[str, Any]:
        """All that makes the tree, as plain JSON."""
        return {
            "format": FORMAT,
            "tree_id": self.tree_id,
            "version": self.version,
            "settings": {
                "depth": self.settings.depth,
                "similarity": self.settings.similarity,
                "max_children": self.settings.max_children,
                "max_templates": self.settings.max_templates,
                "new_per_minute": self.settings.new_per_minute,
            },
            "templates": [
                {"id": template.id, "tokens": list(template.tokens), "origin": list(template.origin)}
                for template in self._templates
            ],
        }

    @classmethod
    def restore(cls, snapshot: Mapping[str, Any]) -> "TemplateTree":
        """The tree of a snapshot: it gives the same ids as the original for all that may come.

        TemplateError where the snapshot is of a newer format or is none.
        """
        written = snapshot.get("format")
        if not isinstance(written, int) or written < 1:
            raise TemplateError("not a snapshot of a template tree: it has no format number")
        if written > FORMAT:
            raise TemplateError(
                f"the template tree was written in format {written}, this version reads up to {FORMAT}: upgrade Tocsin"
            )
        try:
            tree = cls(DrainSettings(**snapshot["settings"]), snapshot["tree_id"])
            entries = [(entry["id"], entry["tokens"], entry["origin"]) for entry in snapshot["templates"]]
            version = int(snapshot["version"])
        except (KeyError, TypeError, ValueError) as error:
            raise TemplateError(f"the snapshot of a template tree is damaged: {error!r}") from error
        for position, (template_id, tokens, origin) in enumerate(entries, start=1):
            if template_id != position:
                raise TemplateError(f"the snapshot has template {template_id!r} where {position} should stand")
            check_tokens(position, tokens, origin)
            tree._templates.append(Template(position, tuple(tokens), tuple(origin)))
        if version < len(entries):
            raise TemplateError(f"the snapshot says version {version} but holds {len(entries)} templates")
        tree._base_version = version
        tree._index()
        return tree

    def _match_one(self, message: str) -> int:
        found = self._seen.ids.get(message)
        if found is None:
            tokens = tokenize(message)
            found = self._search.match(tokens)
            if found != NO_TEMPLATE:
                self._seen.add(message, tokens, found)
        return found

    def _learn_one(self, message: str, may_grow: bool) -> Change | None:
        """Take in a message that nothing matches; None where that needs a new id and none may be made."""
        tokens = tokenize(message)
        similar = self._search.similar(tokens)
        if similar != NO_TEMPLATE:
            wider = self._search.widened(similar, tokens)
            swallowed = self._exemplars.fitting(wider)
            if all(self._exemplars.ids[exemplar] == similar for exemplar in swallowed):
                template = self._templates[similar - 1]
                origin = list(template.origin)
                change = Change(self.version + 1, "widened", similar, wider, origin, template.exemplar)
                self._change(change)
                return change
        if not may_grow or len(self._templates) >= self.settings.max_templates:
            return None
        template_id = len(self._templates) + 1
        change = Change(self.version + 1, "new", template_id, tokens, tokens, " ".join(tokens))
        self._change(change)
        return change

    def _change(self, change: Change) -> None:
        """Take one step; every message remembered to which it may matter is forgotten."""
        template = Template(change.id, tuple(change.tokens), tuple(change.origin))
        if change.kind == "new":
            self._journal.append((change, None))
            self._templates.append(template)
            self._insert(template)
        else:
            self._journal.append((change, self._templates[change.id - 1]))
            self._templates[change.id - 1] = template
            self._search.widen(change.id, change.tokens)
        self._seen.drop(self._seen.fitting(change.tokens))

    def _insert(self, template: Template) -> None:
        self._search.insert(template.id, template.origin)
        self._exemplars.add(template.exemplar, template.origin, template.id)

    def _index(self) -> None:
        """Build all that follows from the templates anew."""
        self._search = Search(self.settings)
        self._seen.clear()
        self._exemplars.clear()
        for template in self._templates:
            self._insert(template)
            if template.tokens != template.origin:
                self._search.widen(template.id, template.tokens)

    def _check(self, change: Change) -> None:
        """Refuse a change that cannot have been made on this tree."""
        new = len(self._templates) + 1
        if change.kind == "new":
            fitting = change.id == new and change.tokens == change.origin
        else:
            fitting = 0 < change.id < new and self._templates[change.id - 1].origin == tuple(change.origin)
        check_tokens(change.id, change.tokens, change.origin)
        if not fitting or change.exemplar != " ".join(change.origin):
            raise TemplateError(
                f"change {change.version} ({change.kind} template {change.id}) cannot follow version {self.version} of "
                f"tree {self.tree_id}: it is another tree's; restore from a snapshot"
            )

    def _check_held(self, version: int) -> None:
        if not self._base_version <= version <= self.version:
            raise TemplateError(
                f"tree {self.tree_id} holds the changes from version {self._base_version} to {self.version}, not those "
                f"since {version}: use a snapshot"
            )


def _listed(masked: Sequence[str] | pl.Series) -> Sequence[str]:
    return masked.to_list() if isinstance(masked, pl.Series) else masked
