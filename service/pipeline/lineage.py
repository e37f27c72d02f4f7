"""Where a version comes from, and what it learned on the way.

Owns the walk from a version to its parents. Does not know who learns, nor what an answer says.
"""

from collections.abc import Awaitable, Callable, Sequence

from models.bundle import Bundle
from models.errors import BundleError
from service.errors import Conflict

Load = Callable[[str], Awaitable[Bundle]]
"""A version of the source. Raises BundleError where it is not there."""


def learned(bundle: Bundle) -> list[str]:
    """Ids of the answers that a version learned, those of its parents included."""
    return list(bundle.manifest.provenance.get("lessons", []))


async def without(load: Load, version: str, ids: Sequence[str]) -> tuple[str, list[str]] | None:
    """The newest ancestor of ``version`` that learned none of the answers ``ids``, and all that was learned since; None
    where ``version`` itself learned none of them. Raises Conflict where no such ancestor is left."""
    bundle = await load(version)
    unwanted, whole = set(ids), learned(bundle)
    if not unwanted & set(whole):
        return None
    while unwanted & set(learned(bundle)):
        parent = bundle.manifest.parent
        if parent is None:
            raise Conflict(f"version {bundle.version} has no parent to go back to; activate another version first")
        try:
            bundle = await load(parent)
        except BundleError as error:
            raise Conflict(f"version {version} learned this, and its parent {parent} is gone ({error})") from error
    before = set(learned(bundle))
    return bundle.version, [name for name in whole if name not in before]
