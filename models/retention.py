"""How many candidates of a source are kept.

Owns which may go. Does not know which versions are in use, nor when to look.
"""

from collections.abc import Collection

from models.bundles import BundleStore


def prune(store: BundleStore, source: str, keep: int, protected: Collection[str]) -> list[str]:
    """Delete the oldest candidates of a source beyond the ``keep`` newest; returns which.

    A candidate is what a learner made: it has a gate. Versions that people trained, shipped ones, those in
    ``protected`` and the parents of all that stay for one of these reasons are never deleted, nor is one whose manifest
    cannot be read. Raises BundleError where a version cannot be deleted.
    """
    versions = store.described(source)
    candidates = [about.version for about in versions if about.gate is not None and not about.shipped]
    beyond = set(candidates[: max(0, len(candidates) - keep)]) - set(protected)
    parents = {about.parent for about in versions if about.version not in beyond}
    gone = [version for version in candidates if version in beyond and version not in parents]
    for version in gone:
        store.delete(source, version)
    return gone
