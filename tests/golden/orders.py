"""An invented log of a shop: normal orders, then a new but benign step that comes six times, and two faults."""

from datetime import UTC, datetime

from models.source.config import Source
from training.logs import Labels

BEGAN = int(datetime(2024, 5, 1, tzinfo=UTC).timestamp())
TRAINED = 60
SHARE = (TRAINED + 0.5) / 70
"""Of the sessions: the normal ones that come first."""
NORMAL = ("cart opened", "payment taken", "parcel sent")
BENIGN = ("cart opened", "voucher used", "payment taken", "parcel sent")
FAULT = ("cart opened", "payment taken", "payment taken", "payment taken", "parcel sent")
LATER = (BENIGN, NORMAL, BENIGN, FAULT, BENIGN, BENIGN, NORMAL, BENIGN, FAULT, BENIGN)


def source() -> Source:
    """An order is a session."""
    return Source.from_dict(
        {
            "name": "shop",
            "header": {"kind": "regex", "pattern": r"^(?P<timestamp>\d+) (?P<order>\S+) (?P<message>.*)$"},
            "timestamp": {"formats": ["epoch_s"]},
            "session": {"fields": ["order"]},
            "idle_s": 50.0,
            "lateness_s": 0.0,
        }
    )


def log() -> tuple[list[str], Labels]:
    """Lines in time order, and which orders are faults."""
    kinds = (NORMAL,) * TRAINED + LATER
    lines = [line for number, steps in enumerate(kinds) for line in _order(number, steps)]
    return lines, Labels({f"o{number}": steps is FAULT for number, steps in enumerate(kinds)}, {})


def _order(number: int, steps: tuple[str, ...]) -> list[str]:
    return [f"{BEGAN + 100 * number + i} o{number} {text}" for i, text in enumerate(steps)]
