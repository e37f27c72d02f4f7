"""Workflows of versions, read from their bundles when an incident is looked at.

Owns reading them off the event loop, and that a version is read once. Does not know what is shown of one.
"""

import asyncio
from collections import OrderedDict

from models.bundles import BundleStore
from models.errors import BundleError
from models.workflow.graph import WORKFLOW, Workflow

KEPT = 16


class Workflows:
    """The workflows looked at last; ``root`` is a path or an fsspec URL of bundles."""

    def __init__(self, root: str) -> None:
        self._store = BundleStore(root)
        self._kept: OrderedDict[tuple[str, str], Workflow | None] = OrderedDict()

    async def of(self, source: str, version: str) -> Workflow | None:
        """The workflow of a version; None where it has none, or is gone or damaged."""
        name = source, version
        if name not in self._kept:
            self._kept[name] = await asyncio.to_thread(self._read, source, version)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(name)
        return self._kept[name]

    def _read(self, source: str, version: str) -> Workflow | None:
        try:
            files = self._store.load(source, version).files
            return Workflow.from_json(files[WORKFLOW]) if WORKFLOW in files else None
        except BundleError:
            return None
