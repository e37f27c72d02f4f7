"""An answer as it is shown and as the audit trail notes it. Owns both shapes; stores nothing."""

from collections.abc import Mapping
from typing import Any

from service.incidents.seconds import LESSONS, WITHHELD


def told(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item as people see it: what detectors saw is the learner's."""
    return {name: part for name, part in item.items() if name not in (LESSONS, WITHHELD)}


def entry_of(action: str, item: Mapping[str, Any], author: str, now: float) -> dict[str, Any]:
    """What the audit trail says of an ``action`` by ``author`` on an item, at ``now`` in seconds."""
    about = {name: item[name] for name in ("label", "source", "session", "incident") if name in item}
    return {"action": action, "feedback": item["id"], "author": author, "time": now, **about}
