"""Candidates that nobody needs any more are deleted; what is live, was before, or judges in the shadow is not.

Owns what is in use. Called by whoever makes candidates.
"""

import asyncio

from redis.asyncio import Redis

from models.bundles import BundleStore
from models.retention import prune
from service.state import sources


async def prune_versions(redis: Redis, store: BundleStore, source: str, keep: int) -> list[str]:
    """Delete the oldest candidates of a source beyond ``keep``; returns which. Raises StateError where Redis is away
    (then none is deleted), BundleError where a version cannot be deleted."""
    live = await sources.live_bundle(redis, source)
    standing = sources.standing(await sources.activations(redis, source))
    shadow = await sources.shadow(redis, source)
    if live is None:
        # Nobody can say what is in use: an empty Redis in the place of the old one.
        return []
    protected = {version for version in (live, shadow, *standing[-2:]) if version is not None}
    return await asyncio.to_thread(prune, store, source, keep, protected)
