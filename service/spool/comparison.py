"""Two versions of a source compared over what was spooled of it: for the command line and for HTTP.

Owns which two can be compared, and what to do where nothing is spooled. Does not know what a change is
(``models.diff``).
"""

import asyncio
from pathlib import Path
from typing import Any

from models.bundle import Bundle
from models.bundles import BundleStore
from models.diff import diff
from models.spool.layout import Layout
from models.spool.reader import LIMIT, read_spool
from models.template.texts import TextOf, or_else
from service.errors import Conflict, NotFound
from service.pipeline.sources import Sources


class Comparison:
    """Compares versions of live sources, one pair at a time, in a thread that no batch waits for."""

    def __init__(self, sources: Sources, store: BundleStore, folder: Path, provider: str, threads: int) -> None:
        self._sources = sources
        self._store = store
        self._folder = folder
        self._provider = provider
        self._threads = threads
        self._comparing = asyncio.Lock()

    async def of(self, source: str, old: str | None, new: str, limit: int) -> dict[str, Any]:
        """As ``compare``; ``old`` None: the version that this replica judges by. Raises UnknownSource, and NotFound
        for a version that is not there."""
        live = await self._sources.get(source)
        before = old or live.version
        if before is None:
            raise NotFound(f"no version of source {source!r} is live; say which one to compare with (from=VERSION)")

        def work() -> dict[str, Any]:
            known = self._store.versions(live.name)
            for version in (before, new):
                if version not in known:
                    raise NotFound(f"source {source!r} has no version {version!r}; GET /models lists them")
            first, second = (self._store.load(live.name, version) for version in (before, new))
            return compare(
                first, second, self._folder, text_of=live.text_of, exemplar_of=live.exemplar_of, limit=limit,
                provider=self._provider, threads=self._threads,
            )  # fmt: skip

        async with self._comparing:
            return await asyncio.to_thread(work)


def compare(
    old: Bundle,
    new: Bundle,
    folder: Path,
    *,
    text_of: TextOf,
    exemplar_of: TextOf,
    limit: int = LIMIT,
    provider: str = "cpu",
    threads: int = 1,
) -> dict[str, Any]:
    """What ``new`` would judge otherwise than ``old``, as JSON. ``limit`` distinct events and as many sessions are
    read, the newest. Raises Conflict where the two read different templates, NotFound where nothing is spooled that
    both can judge."""
    source = old.source.name
    if old.manifest.tree_id != new.manifest.tree_id:
        raise Conflict(
            f"versions {old.version} and {new.version} were trained on different template trees, so no event means the "
            "same to both; compare them with `tocsin evaluate` on a log"
        )
    exemplar = or_else(exemplar_of, "")
    before, after = (bundle.judge(provider, threads, exemplar) for bundle in (old, new))
    spooled = read_spool(folder, source, old.manifest.tree_id, [Layout.needed(before), Layout.needed(after)], limit)
    if not len(spooled):
        skipped = f" ({spooled.skipped} events and sessions are of another tree or hold too little)"
        raise NotFound(
            f"nothing of source {source!r} that both versions can judge is spooled under {folder}"
            f"{skipped if spooled.skipped else ''}; have the service judge live traffic for a while with "
            "TOCSIN_SPOOL_ROWS above 0, and see that TOCSIN_SPOOL_DIR, or --spool, is the folder that it writes to"
        )
    found = diff(before, after, spooled)
    return {
        "source": source,
        "from": old.version,
        "to": new.version,
        **found.to_dict(or_else(text_of)),
        "skipped": spooled.skipped,
    }
