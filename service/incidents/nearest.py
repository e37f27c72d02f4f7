"""An incident's session beside the normal one that it is nearest to, as a caller gets it.

Owns which keys of an incident are compared. Does not know how the nearest is found (``models.normals``), nor how it
looks on the page.
"""

from collections.abc import Callable, Mapping
from typing import Any

from models.errors import TemplateError
from models.normals import Normals


def nearest(body: Mapping[str, Any], normals: Normals, text_of: Callable[[int], str]) -> dict[str, Any] | None:
    """The normal session nearest to that of an incident's ``body``, and the difference in steps; None where nothing of
    a session was kept (a timeframe), or where it shares no event with any. CPU work."""
    keys, begun = _kept(body)
    ended = body["kind"] == "session"
    found = normals.nearest(keys, begun=begun, ended=ended)
    if found is None:
        return None
    contrast = found.contrast
    texts = {step.key: _text(step.key, text_of) for step in contrast.steps}
    return {
        "sessions": found.sessions,
        "begun": begun,
        "ended": ended,
        "same": contrast.count("same"),
        "missing": contrast.count("missing"),
        "extra": contrast.count("extra"),
        "out_of_turn": contrast.count("earlier", "later"),
        "before": contrast.before,
        "after": contrast.after,
        "steps": [{"step": step.kind, "template_id": step.key, "template": texts[step.key]} for step in contrast.steps],
    }


def _kept(body: Mapping[str, Any]) -> tuple[list[int], bool]:
    """Keys of the session, the oldest first, and whether they begin where it began (False where an older incident does
    not say)."""
    keys = [int(event["template_id"]) for event in body["window"]]
    events = body.get("events")
    if body["kind"] == "line":
        return [*keys, int(body["template_id"])], events == len(keys)
    # What reads sequences keeps more of a session that is over than is shown.
    for lesson in body.get("lessons", ()):
        sequence = lesson["seen"].get("sequence", ())
        if len(sequence) > len(keys):
            keys = [int(key) for key in sequence]
    return keys, events == len(keys)


def _text(key: int, text_of: Callable[[int], str]) -> str:
    try:
        return text_of(key)
    except TemplateError:  # another replica learned it, and this one has met no line since
        return f"template {key}"
