"""What teaching gives to a detector that was wrong, and gets from it.

Owns the shapes. Does not know any detector, nor where answers come from (``candidate``).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.lesson import Seen
from models.sessions import Int64
from training.progress import Progress


@dataclass(frozen=True, slots=True)
class Taught:
    """What a detector saw (``models.lesson``) and what a person said of it: ``normal``, or a real anomaly."""

    seen: Seen
    normal: bool


@dataclass(frozen=True, slots=True)
class Live:
    """Live traffic that is normal by the version that is taught, to be rehearsed beside training's: k distinct windows
    as ``history`` int64 [k, width] (``BEFORE_SESSION`` on the left) and next ``key`` int64 [k] (``END`` is one), and
    distinct whole sessions of template ids, ``sequences`` int64 [n] each."""

    history: Int64
    key: Int64
    sequences: tuple[Int64, ...] = ()

    @classmethod
    def none(cls) -> "Live":
        """Nothing."""
        return cls(np.empty((0, 0), dtype=np.int64), np.empty(0, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Part:
    """One detector as a bundle holds it: its ``settings`` of the manifest, ``files`` of the whole bundle by name, the
    raw output from which on it counts as strange, ``bar``: what is called normal has to come to lie below; and the
    ``live`` traffic that must not come to lie above."""

    name: str
    settings: Mapping[str, Any]
    files: Mapping[str, bytes]
    bar: float
    live: Live = field(default_factory=Live.none)


@dataclass(frozen=True, slots=True)
class Learned:
    """The detector after teaching: its ``settings``, those of its ``files`` that changed, and what is to be ``told`` of
    it in the candidate's manifest: plain JSON with at least ``steps`` and ``seconds``."""

    settings: dict[str, Any]
    files: dict[str, bytes]
    told: dict[str, Any] = field(default_factory=dict)


Teach = Callable[[Part, Sequence[Taught], int, Progress], Learned | None]
"""(part, what people said, seed, progress) -> the detector after teaching; None where there is nothing to change, as
where every normal one lies below the bar already. Normal ones that cannot be brought below it are no error: their rules
stay. Deterministic for a seed on one machine. Raises BundleError where the bundle lacks what is needed to go on
from."""
