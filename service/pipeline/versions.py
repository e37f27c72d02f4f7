"""The versions of a source as they are listed: what each says of itself, which one judges, and what did before.

Owns the listing. Does not change which version is live (``sources``).
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from redis.asyncio import Redis

from models.bundles import About
from service.pipeline.live import LiveSource
from service.state import proposals, sources

ACTIVATIONS_SHOWN = 20


async def versions_of(redis: Redis, live: LiveSource, found: Sequence[About]) -> dict[str, Any]:
    """What is known of ``found``, the versions of ``live``, plain JSON. Raises StateError."""
    name = live.name
    pointer, made = await sources.live_bundle(redis, name), await sources.activations(redis, name)
    shadow = await sources.shadow(redis, name)
    states = {shadow: "shadow", pointer: "live"}
    standing = sources.standing(made)
    return {
        "source": name,
        "versions": [about.version for about in found],
        "details": [
            {**asdict(about), "state": states.get(about.version), "rejected": about.rejected} for about in found
        ],
        "live": pointer,
        "shadow": shadow,
        "previous": standing[-2] if len(standing) > 1 else None,
        "activations": [asdict(one) for one in made[-ACTIVATIONS_SHOWN:]],
        "here": live.version,
        "problem": live.problem,
        "proposal": await proposals.read(redis, name),
    }
